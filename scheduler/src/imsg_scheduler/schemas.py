"""The bodies and answers of scheduler's routes."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from imsg_contract.errors import Refusal
from imsg_contract.send_times import EXAMPLE
from imsg_web.request_models import RequestModel
from imsg_web.schemas import Success


class NewTime(RequestModel):
    """PATCH /api/v2/requests/ID: another time."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"send_at": EXAMPLE}]})

    send_at: Annotated[
        str,
        Field(description="RFC 3339 with an offset, at most 30 days ahead.", json_schema_extra={"format": "date-time"}),
    ]


class MovedAnswer(Success):
    """The request waits for its new time."""

    id: str
    due_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class CancelRequests(RequestModel):
    """POST /api/v2/requests/cancel: which requests, by `reference` or `held_by`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"reference": "meeting-42"}],
            "anyOf": [{"required": ["reference"]}, {"required": ["held_by"]}],
        }
    )

    reference: Annotated[
        str | None,
        Field(min_length=1, max_length=255, description="What the sends were called: all of them are cancelled."),
    ] = None
    held_by: Annotated[
        str | None,
        Field(min_length=1, max_length=64, description="The window that holds them; operators cancel everybody's."),
    ] = None
    username: Annotated[
        str | None,
        Field(description="Whose requests: another user's are for administrators and operators."),
    ] = None

    @model_validator(mode="after")
    def _name_one(self) -> Self:
        if (self.reference is None) is (self.held_by is None):
            raise Refusal(
                "wrong_type", field="reference", why_zh="请填 reference 或 held_by 之一", why_en="give it or held_by"
            )
        return self


class CancelledAnswer(Success):
    """What became of the messages. The same cancel is answered the same again."""

    cancelled: Annotated[int, Field(description="They are not sent, and what was charged for them is given back.")]
    too_late: Annotated[int, Field(description="They were being sent, or a provider may have them.")]
    settled: Annotated[int, Field(description="They had been sent, had failed or had been cancelled before.")]


class ReleasedAnswer(Success):
    """The request is due at once."""

    id: str


class HeldBy(RequestModel):
    """POST /api/v2/requests/release: which window's."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"held_by": "sms_marketing"}]})

    held_by: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="The id of a window.")]


class ReleasedCount(Success):
    """So many requests are due at once."""

    released: int
