"""The requests and responses of callbacks."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from imsg_callbacks.bounds import DEFAULT_LIMIT, MAX_EVENTS, MAX_WAIT_S
from imsg_channels import METHODS
from imsg_contract.event_types import EVENTS, EventName
from imsg_web.request_models import RequestModel
from imsg_web.responses import field_error
from imsg_web.schemas import AnswerPart, PageLimit, Success, Time, read_whole_number

MAX_DESCRIPTION = 200

DELIVERIES_CURSOR = "^([A-P][A-Za-z0-9_-]{9}[AEIMQUYcgkosw048]=?)?$"


def _check_state(state: object) -> object:
    if state not in ("waiting", "delivered", "failed"):
        raise field_error("应为 waiting、delivered 或 failed", "it must be waiting, delivered or failed")
    return state


def _check_events(events: list[str]) -> list[str]:
    if not events or any(event not in EVENTS for event in events):
        raise field_error(
            f"应为非空的列表，可选 {'、'.join(EVENTS)}", f"it must be a list of one or more of {', '.join(EVENTS)}"
        )
    return list(dict.fromkeys(events))


def _check_methods(methods: list[str]) -> list[str]:
    if not methods or any(method not in METHODS for method in methods):
        raise field_error(
            f"应为非空的列表，可选 {'、'.join(METHODS)}", f"it must be a list of one or more of {', '.join(METHODS)}"
        )
    return list(dict.fromkeys(methods))


EventNames = Annotated[
    list[str], AfterValidator(_check_events), Field(json_schema_extra={"minItems": 1, "items": {"enum": list(EVENTS)}})
]
Methods = Annotated[
    list[str],
    AfterValidator(_check_methods),
    Field(json_schema_extra={"minItems": 1, "items": {"enum": list(METHODS)}}),
]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION, pattern=r"^[^\u0000]*$")]
Url = Annotated[str, Field(min_length=1, max_length=2_000, pattern=r"^[^\u0000]*$")]


class NewEndpoint(RequestModel):
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
    events: EventNames
    methods: Annotated[
        Methods | None, Field(description="Only events of these channels; left out: of every channel.")
    ] = None
    description: Description | None = None


class EndpointPatch(RequestModel):
    """The changes of an endpoint; what is left out stays, null unsets."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}]})

    url: Url | None = None
    events: EventNames | None = None
    methods: Annotated[Methods | None, Field(description="null: of every channel again.")] = None
    description: Annotated[Description | None, Field(description="null: none.")] = None
    enabled: bool | None = None


class Recovery(RequestModel):
    """The period whose undelivered events are sent again."""

    model_config = ConfigDict(strict=False, json_schema_extra={"examples": [{"since": "2026-11-24T00:00:00Z"}]})

    since: AwareDatetime
    until: AwareDatetime | None = None


class EndpointsQuery(BaseModel):
    """The query of GET /api/callbacks."""

    model_config = ConfigDict(frozen=True)

    username: Annotated[
        str | None, Field(description="The user of the endpoints, for administrators; default: one's own.")
    ] = None


class DeliveriesQuery(BaseModel):
    """The query of GET /api/callbacks/ID/deliveries."""

    model_config = ConfigDict(frozen=True)

    state: Annotated[
        Literal["waiting", "delivered", "failed"] | None,
        BeforeValidator(_check_state),
        WithJsonSchema({"type": "string", "enum": ["waiting", "delivered", "failed"]}),
    ] = None
    limit: PageLimit = DEFAULT_LIMIT
    cursor: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "pattern": DELIVERIES_CURSOR, "description": "`next` of the page before."}),
    ] = None


class EventsQuery(BaseModel):
    """The query of GET /api/events."""

    model_config = ConfigDict(frozen=True)

    after: Annotated[
        str | None,
        WithJsonSchema(
            {
                "type": "string",
                "pattern": "^([A-Za-z0-9_-]{32})?$",
                "description": "`next` of the previous answer; left out: from the oldest event that is kept.",
            }
        ),
    ] = None
    wait: Annotated[
        int,
        Field(ge=0, le=MAX_WAIT_S, description="For how many seconds an answer may wait for an event."),
        BeforeValidator(read_whole_number),
    ] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_EVENTS), BeforeValidator(read_whole_number)] = 100


class EndpointShape(AnswerPart):
    """One endpoint; never its secret."""

    id: str
    username: Annotated[str, Field(description="The endpoint's owner.")]
    url: str
    events: list[EventName]
    methods: Annotated[list[str] | None, Field(description="null: of every channel.")]
    description: str
    enabled: bool
    state: Annotated[
        Literal["new", "ok", "failing", "disabled"],
        Field(description="`failing`: its last call failed; `new`: nothing was sent yet."),
    ]
    why: Annotated[
        Literal["gone", "failing", "owner"] | None,
        Field(description="Of a disabled one: it answered 410, nothing but failures for 5 days, or its owner."),
    ]
    failing_since: Time | None
    reached_at: Annotated[Time | None, Field(description="Its last success.")]
    last_error: str | None
    waiting: Annotated[int, Field(description="Deliveries that are still to be tried.")]
    old_secret_until: Annotated[Time | None, Field(description="Until then the previous secret signs too.")]
    created_at: Time


class EndpointsAnswer(Success):
    """A user's endpoints, the oldest first."""

    callbacks: list[EndpointShape]
    next: Annotated[None, Field(description="Always null: there are 20 at most.")]


class EndpointAnswer(EndpointShape, Success):
    """One endpoint."""


class NewAnswer(Success):
    """A new endpoint, and its secret: shown this once."""

    id: str
    secret: str


class SecretAnswer(Success):
    """A new secret, shown this once; the previous one signs too for 24 hours."""

    secret: str
    old_until: Time


class TestAnswer(Success):
    """The result of a test call."""

    delivered: bool
    status: int | None
    error: str | None
    answer: Annotated[str | None, Field(description="The first 4 KiB.")]
    took_ms: int


class RecoveryAnswer(Success):
    """The period that a recovery covers."""

    since: Time
    until: Time


class DeliveryShape(AnswerPart):
    """The delivery of one event to one endpoint."""

    event: str
    type: str
    state: Literal["waiting", "delivered", "failed"]
    attempts: int
    status: Annotated[int | None, Field(description="HTTP's, of the last attempt.")]
    error: str | None
    answer: Annotated[str | None, Field(description="The first 4 KiB of the last answer.")]
    took_ms: int | None
    tried_at: Time | None
    next_at: Time | None
    created_at: Time
    body: Annotated[str, Field(description="What is sent, to the byte.")]


class DeliveriesAnswer(Success):
    """A page of deliveries, the newest event first."""

    deliveries: list[DeliveryShape]
    next: str | None


class EventShape(AnswerPart):
    """One event, in the shape of a callback."""

    id: str
    type: EventName
    timestamp: Time
    data: dict[str, Any]


class EventsAnswer(Success):
    """Events, the oldest first, and `next`, the cursor of the next call; an empty answer has one too."""

    events: list[EventShape]
    next: str
    as_of: Annotated[
        Time | None,
        Field(description="The events are complete up to this time: now, where nothing waits to be recorded."),
    ]
