"""The bodies that callbacks' URLs take."""

from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from imsg_callbacks.matching import EVENTS
from imsg_channels import METHODS
from imsg_runtime.responses import wrong

MAX_DESCRIPTION = 200


class Asked(BaseModel):
    """What a body holds, to its types."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


def _check_events(events: list[str]) -> list[str]:
    if not events or any(one not in EVENTS for one in events):
        raise wrong(
            f"应为非空的列表，可选 {'、'.join(EVENTS)}", f"it must be a list of one or more of {', '.join(EVENTS)}"
        )
    return list(dict.fromkeys(events))


def _check_methods(methods: list[str]) -> list[str]:
    if not methods or any(one not in METHODS for one in methods):
        raise wrong(
            f"应为非空的列表，可选 {'、'.join(METHODS)}", f"it must be a list of one or more of {', '.join(METHODS)}"
        )
    return list(dict.fromkeys(methods))


Names = Annotated[
    list[str], AfterValidator(_check_events), Field(json_schema_extra={"minItems": 1, "items": {"enum": list(EVENTS)}})
]
Methods = Annotated[
    list[str],
    AfterValidator(_check_methods),
    Field(json_schema_extra={"minItems": 1, "items": {"enum": list(METHODS)}}),
]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION, pattern=r"^[^\u0000]*$")]
Url = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\u0000]*$")]


class EndpointAsked(Asked):
    """A new endpoint."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://example.com/imsg",
                    "events": ["message.sent", "message.failed"],
                    "description": "订单系统",
                }
            ]
        }
    )

    url: Url
    events: Names
    methods: Annotated[Methods | None, Field(description="Of these channels alone; left out: of every one.")] = None
    description: Description | None = None


class EndpointChange(Asked):
    """What of an endpoint is to be otherwise."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    url: Url | None = None
    events: Names | None = None
    methods: Methods | None = None
    all_methods: Annotated[bool | None, Field(description="true: of every channel again.")] = None
    description: Description | None = None
    enabled: bool | None = None


class RecoveryAsked(BaseModel):
    """From when to when what failed is to be sent once more."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", json_schema_extra={"examples": [{"since": "2026-11-24T00:00:00Z"}]}
    )

    since: AwareDatetime
    until: AwareDatetime | None = None
