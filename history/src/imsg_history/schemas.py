"""The public answers; a test compares them with what the finders make."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from imsg_web.schemas import AnswerPart, CostShape, Success, Total

V1StatusName = Literal["queued", "retrying", "uncertain", "sent", "failed", "expired", "delivered"]
StatusName = Literal[
    "scheduled", "held", "queued", "retrying", "cancelled", "uncertain", "sent", "failed", "expired", "delivered"
]


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, UTC."""


AsOf = Annotated[
    Time | None,
    Field(description="Up to when everything is recorded: now, where nothing waits to be. null: not known yet."),
]


DueAt = Annotated[Time | None, Field(description="When it is to be sent; null: at once.")]
LegNumber = Annotated[
    int | None, Field(description="Which leg of a request with a fallback it is, from 1; null: there is none.")
]
LegOf = Annotated[str | None, Field(description="The request of the first leg.")]
HeldUntil = Annotated[Time | None, Field(description="When the window opens that it waits for; null: it is not held.")]
HeldBy = Annotated[str | None, Field(description="The id of that window.")]


def _allow_absent(*fields: str) -> ConfigDict:
    """Return a configuration in which fields are not required: an answer leaves out their defaults."""

    def mend(schema: dict[str, Any]) -> None:
        schema["required"] = [name for name in schema["required"] if name not in fields]

    return ConfigDict(json_schema_extra=mend)


class AttachmentShape(AnswerPart):
    """One attachment of a message."""

    filename: str
    type: str
    size: int
    sha256: str


class ErrorShape(AnswerPart):
    """Why a message is not sent, in the provider's words."""

    code: str | None
    detail: str | None


class AttemptShape(AnswerPart):
    """One line of a time-line: an attempt, or (attempt null) an end without one, a receipt, complaint, dead letter."""

    attempt: int | None
    at: Time
    status: Literal[StatusName, "complaint"]
    provider: str | None
    provider_id: str | None
    code: str | None
    detail: str | None


class MessageShape(AnswerPart):
    """One message: one recipient of a request."""

    model_config = _allow_absent("segments", "timeline")

    id: str
    username: str
    method: str
    to: Annotated[str | None, Field(description="null once the recipient's data was erased (`error.code` `erased`).")]
    subject: str | None
    content: Annotated[
        str | dict[str, Any] | None,
        Field(
            description=(
                "null where it is over 64 KiB (ask for the message's id, until 7 days past its expiry), once it is "
                "erased: after IMSG_KEEP_CONTENT_DAYS, or with its recipient's data; and to auditors."
            ),
        ),
    ]
    attachments: list[AttachmentShape]
    status: StatusName
    attempts: int
    provider: str | None
    provider_id: str | None
    segments: Annotated[
        int | None,
        Field(default_factory=lambda: None, description="With sms only; null where a template's words are not known."),
    ]
    resend_of: str | None
    error: ErrorShape | None
    created_at: Time
    updated_at: Time
    # Absent or a list, never null: a default that the schema does not show.
    timeline: Annotated[list[AttemptShape], Field(default_factory=list, description="With `id=REQUEST-N` only.")]


class V1AttemptShape(AttemptShape):
    """One line of a time-line: an attempt, or (attempt null) an end without one, a receipt, complaint, dead letter."""

    status: V1StatusName


class V1MessageShape(MessageShape):
    """One message: one recipient of a request."""

    status: V1StatusName
    timeline: Annotated[  # type: ignore[assignment]  # narrower, and only read
        list[V1AttemptShape], Field(default_factory=list, description="With `id=REQUEST-N` only.")
    ]


class QueryAnswer(Success):
    """A page of messages."""

    messages: list[V1MessageShape]
    next: str | None


CategoryName = Literal["code", "notice", "marketing"]


KeyName = Annotated[str | None, Field(description="The name of the API key that sent it; null: a log-in's token.")]


IsTest = Annotated[bool, Field(description="Whether a test key sent it: its provider is played.")]


IsSimulated = Annotated[bool, Field(description="Whether the sandbox replaced the provider: nothing was delivered.")]


class ListedShape(MessageShape):
    """One message, with what v1 has no key for."""

    reference: Annotated[str | None, Field(description="What the client called the request.")]
    category: CategoryName
    key: KeyName
    test: IsTest
    simulated: IsSimulated
    cost: Annotated[CostShape | None, Field(description="null: nothing, or no price is known.")]
    resent_as: Annotated[list[str], Field(description="The messages that it was sent again as, oldest first.")]
    leg: LegNumber
    leg_of: LegOf
    due_at: DueAt
    held_until: HeldUntil
    held_by: HeldBy


class MessagesAnswer(Success):
    """A page of messages."""

    messages: list[ListedShape]
    next: str | None
    total: Total
    as_of: AsOf


class CountsShape(AnswerPart):
    """How many messages of a request have each status."""

    scheduled: int
    held: int
    queued: int
    retrying: int
    cancelled: int
    uncertain: int
    sent: int
    failed: int
    expired: int
    delivered: int


RequestState = Annotated[
    Literal["scheduled", "held", "queued", "sending", "settled"],
    Field(description="settled: every message has a status that only a receipt still moves."),
]


class RequestShape(AnswerPart):
    """One request."""

    id: str
    username: str
    method: str
    category: CategoryName
    reference: str | None
    key: KeyName
    test: IsTest
    simulated: Annotated[bool, Field(description="Whether the sandbox stood in for the provider of any message.")]
    subject: str | None
    content: Annotated[
        str | dict[str, Any] | None,
        Field(description="null where it is over 64 KiB, once it is erased, and to auditors."),
    ]
    attachments: list[AttachmentShape]
    resend_of: str | None
    to: Annotated[str | None, Field(description="The first recipient that fits what was asked for.")]
    recipients: Annotated[int, Field(description="How many messages it has, whether they fit or not.")]
    state: RequestState
    counts: CountsShape
    created_at: Time
    leg: LegNumber
    leg_of: LegOf
    due_at: DueAt
    held_until: HeldUntil
    held_by: HeldBy


class LegShape(AnswerPart):
    """One leg of a request with a fallback."""

    id: str
    method: str
    state: Annotated[
        Literal["scheduled", "held", "queued", "sending", "settled", "waiting", "unused"],
        Field(description="waiting: it begins for people not reached by then; unused: it never begins."),
    ]


class RequestAnswer(RequestShape, Success):
    """One request at a glance; `state` is settled once that of all legs is."""

    legs: Annotated[list[LegShape], Field(description="The request and its further legs; empty without a fallback.")]
    reached: Annotated[int | None, Field(description="People that a leg has reached; null without a fallback.")]
    not_reached: Annotated[int | None, Field(description="People that no leg has reached or will reach.")]
    open: Annotated[int | None, Field(description="People whose result is not known yet.")]


class RequestsAnswer(Success):
    """A page of requests, each of which has a message that fits."""

    requests: list[RequestShape]
    next: str | None
    total: Total
    as_of: AsOf


class ReplyShape(AnswerPart):
    """What one person wrote back."""

    id: str
    method: str
    sender: Annotated[
        str,
        Field(alias="from", description="Who wrote it: as the message that it answers was addressed, else the number."),
    ]
    to: Annotated[str | None, Field(description="The number that was written to, where the provider says it.")]
    text: Annotated[
        str | None, Field(description="null once it is erased: after IMSG_KEEP_CONTENT_DAYS; and to auditors.")
    ]
    opt_out: Annotated[bool, Field(description="Whether it asks for no more messages (退订, TD, N …).")]
    signature: Annotated[str | None, Field(description="Of the message that it answers, where the provider says it.")]
    provider: str
    message: Annotated[
        str | None,
        Field(description="The last message that had gone to that person; null: none is known, or not yet."),
    ]
    username: Annotated[str | None, Field(description="The user of that message.")]
    reference: Annotated[str | None, Field(description="What the client called its request.")]
    at: Time


class RepliesAnswer(Success):
    """A page of replies."""

    replies: list[ReplyShape]
    next: str | None
    total: Total


class BucketShape(AnswerPart):
    """One hour or day, and how many messages of it there are, method → status → count; zeros are left out."""

    start: Time
    counts: dict[str, dict[StatusName, int]]


class CauseShape(AnswerPart):
    """How many messages failed for one cause."""

    method: str
    provider: Annotated[str | None, Field(description="null: no provider was asked, or none said so.")]
    code: Annotated[str | None, Field(description="As `error.code` has it.")]
    count: int
    counts: Annotated[list[int], Field(description="Those of each bucket, in the order of `buckets`.")]


class PercentilesShape(AnswerPart):
    """How long messages took. Times are in buckets: each is the upper bound of one, in seconds."""

    count: int
    p50_s: Annotated[int | None, Field(description="Half of them took no longer; null: more than a day.")]
    p95_s: Annotated[int | None, Field(description="95 in 100 took no longer; null: more than a day.")]


class LatencyShape(AnswerPart):
    """How long the messages of a method took from acceptance; null where there are none."""

    method: str
    sent: PercentilesShape | None
    delivered: PercentilesShape | None


class UserStatsShape(AnswerPart):
    """What became of the messages of one user by one method."""

    username: str
    method: str
    messages: Annotated[int, Field(description="All of them, those that still wait included.")]
    sent: Annotated[int, Field(description="Those that are delivered included.")]
    delivered: int
    failed: Annotated[int, Field(description="Those that expired included.")]
    uncertain: int


class StatsAnswer(Success):
    """Counts by hour or day of the installation's time zone."""

    bucket: Literal["hour", "day"]
    timezone: str
    buckets: list[BucketShape]
    failures: Annotated[
        list[CauseShape],
        Field(
            max_length=100,
            description="What failed between `since` and `until`, by its cause: the 100 most frequent, these first.",
        ),
    ]
    latencies: Annotated[
        list[LatencyShape],
        Field(description="Of the whole buckets; of hours that are more than 25, of the days that they touch."),
    ]
    users: Annotated[
        list[UserStatsShape],
        Field(
            max_length=100,
            description="By user and method: the 100 with the most messages, these first; of the time of `latencies`.",
        ),
    ]
    as_of: AsOf


class DeadShape(AnswerPart):
    """One dead letter."""

    id: str
    request: str | None
    method: str | None
    reason: str
    detail: str | None
    at: Time


class DeadListAnswer(Success):
    """A page of dead letters."""

    dead: list[DeadShape]
    next: str | None


class DeadAnswer(DeadShape, Success):
    """One dead letter with where it lay and its body."""

    model_config = _allow_absent("body", "body_base64")

    queue: str
    # One of the two is there, and neither is ever null: defaults that the schema does not show.
    body: Annotated[str, Field(default_factory=str)]
    body_base64: Annotated[
        str, Field(default_factory=str, description="Instead of `body` where the bytes are no UTF-8.")
    ]


class AuditShape(AnswerPart):
    """One line of the audit."""

    at: Time
    actor: Annotated[str, Field(description="The user; `imsg:…` where no user did it.")]
    key: Annotated[str | None, Field(description="The name of the API key; null: a log-in's token.")]
    address: Annotated[str | None, Field(description="The client's.")]
    action: str
    target: str
    before: Annotated[
        dict[str, Any] | None,
        Field(description="What was changed, as it was; people are ids or masked, with a keyed digest."),
    ]
    after: dict[str, Any] | None
    request: Annotated[str | None, Field(description="The request of messages that it is about.")]


class AuditAnswer(Success):
    """A page of the audit."""

    audit: list[AuditShape]
    next: str | None
    total: Total


class ExportAnswer(Success):
    """A person's copy, and where it is fetched from."""

    id: str
    state: Literal["waiting", "running", "done", "failed"]
    progress: Annotated[int, Field(description="In percent.")]
    created_at: Time
    expires_at: Annotated[Time, Field(description="When it is deleted: 24 h after it was done.")]
    url: Annotated[str | None, Field(description="The path of the file, once it is done, for administrators.")]


class ErasureAnswer(Success):
    """The erasure has begun: nothing accepted before it is sent or recorded any more."""

    id: str


class RemainingShape(AnswerPart):
    """A place that may hold something of the person still."""

    where: Annotated[str, Field(description="`history`, `redis`, `queues`, or which queue.")]
    until: Annotated[Time | None, Field(description="By then at the latest it holds nothing; null: once it is back.")]


ErasureState = Literal["erasing", "draining", "done"]


class ErasureStateAnswer(Success):
    """The progress of an erasure: the databases are being emptied, then queues drain, and then it is done."""

    state: ErasureState
    remains: list[RemainingShape]


class ErasureShape(AnswerPart):
    """An erasure among others; the address is not kept."""

    id: str
    method: str | None
    state: ErasureState
    remains: list[RemainingShape]
    at: Annotated[Time, Field(description="When it began.")]


class ErasuresAnswer(Success):
    """A page of erasures, the newest first."""

    erasures: list[ErasureShape]
    next: str | None
