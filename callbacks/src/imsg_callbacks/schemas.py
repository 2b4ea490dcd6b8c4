"""The shapes of the answers, for the OpenAPI description; a test holds the answers to them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC."""

EventName = Literal[
    "message.sent",
    "message.delivered",
    "message.failed",
    "message.expired",
    "message.uncertain",
    "message.reply",
    "request.settled",
    "channel.blocked",
    "channel.open",
    "callback.disabled",
]


class Shape(BaseModel):
    """A closed shape."""

    model_config = ConfigDict(extra="forbid")


class EndpointAnswered(Shape):
    """A success."""

    errorCode: Literal[0]  # noqa: N815  the interface's own name
    errorMessage: Literal["OK"]  # noqa: N815


class EndpointShape(Shape):
    """One endpoint; never its secret."""

    id: str
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
    old_secret_until: Annotated[Time | None, Field(description="Until then the secret before signs too.")]
    created_at: Time


class EndpointsAnswer(EndpointAnswered):
    """A user's endpoints, the oldest first."""

    callbacks: list[EndpointShape]
    next: Annotated[None, Field(description="Always null: there are 20 at most.")]


class EndpointAnswer(EndpointAnswered, EndpointShape):
    """One endpoint."""


class NewAnswer(EndpointAnswered):
    """A new endpoint, and its secret: shown this once."""

    id: str
    secret: str


class SecretAnswer(EndpointAnswered):
    """A new secret, shown this once; the one before signs too for 24 hours."""

    secret: str
    old_until: Time


class TestAnswer(EndpointAnswered):
    """What a test call came to."""

    delivered: bool
    status: int | None
    error: str | None
    answer: Annotated[str | None, Field(description="The first 4 KiB.")]
    took_ms: int


class RecoveryAnswer(EndpointAnswered):
    """A recovery that was begun."""

    since: Time
    until: Time


class DeliveryShape(Shape):
    """One event on its way to the endpoint."""

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


class DeliveriesAnswer(EndpointAnswered):
    """A page of deliveries, the newest event first."""

    deliveries: list[DeliveryShape]
    next: str | None


class EventShape(Shape):
    """One event, as callbacks carry it."""

    id: str
    type: EventName
    timestamp: Time
    data: dict[str, Any]


class EventsAnswer(EndpointAnswered):
    """Events, the oldest first, and where to go on: `next` always leads on, also from an empty answer."""

    events: list[EventShape]
    next: str
