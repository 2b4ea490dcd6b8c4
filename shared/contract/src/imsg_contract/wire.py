"""What travels through the broker: jobs, outcomes, receipts, inbound messages, changes and events."""

import operator
from collections.abc import Mapping
from datetime import datetime
from enum import IntFlag, StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from imsg_contract.results import Hop
from imsg_contract.topology import Lane

RequestId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""A UUIDv7 as 32 hex digits (RFC 9562, section 5.7)."""


class Wire(BaseModel):
    """A message on the wire: JSON, frozen, fields of a newer version ignored.

    `v` is the version of the wire; it is raised only when an old reader would misread a new message.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    def encode(self) -> bytes:
        """Write it as it travels: compact JSON, UTF-8, Chinese unescaped."""
        return self.model_dump_json().encode()


class Reference(Wire):
    """Bytes that history keeps under (request, sha256) because they are too long for the broker."""

    sha256: str
    size: int


class Attachment(Reference):
    """One attached file; its bytes are kept by history, never by the broker."""

    filename: str
    type: str


class Recipient(Wire):
    """One message of a request: its number, what the client wrote, and the address in its normal form."""

    n: int
    to: str
    address: str
    params: dict[str, str] | None = Field(default=None, exclude_if=lambda params: params is None)
    """What a template takes of this recipient; it wins over the request's."""
    language: str | None = Field(default=None, exclude_if=lambda language: language is None)
    """In which language a template is sent, where it differs from the request's."""
    reference: str | None = Field(default=None, exclude_if=lambda reference: reference is None)
    """The client's own name for this message."""


Content = str | dict[str, Any]
"""smtp `{subject, text, html?}`; sms and wechat a str, or `{template, params}`; by a template
`{template, version, language, params, liquid: {LANGUAGE: source}}`, of which each recipient's words are rendered."""


class Category(StrEnum):
    """What a message is for."""

    CODE = "code"
    """A log-in code: for one recipient who waits for it, and of no use after minutes."""
    NOTICE = "notice"
    MARKETING = "marketing"


def _is_none(value: object) -> bool:
    return value is None


class EventKind(IntFlag):
    """The events of a user's messages that are published; 0: none."""

    MESSAGE = 1
    """`message.*`: one for each change of a message."""
    REQUEST = 2
    """`request.settled`: one for each request."""
    LEG = 4
    """Every change of a message of a leg, for scheduler."""


class ChargeRecord(Wire):
    """What an accepted request was counted as, so that what is not sent is refunded to the periods charged."""

    username: str
    user_id: str
    """The user whose quotas were charged: of a resend by an administrator, the administrator."""
    own: dict[str, int]
    of_all: dict[str, int] = {}
    """Field of the user's counts, and of the installation's → what it was charged (`imsg_limits.quota`)."""
    is_test: bool = Field(default=False, exclude_if=operator.not_)
    """It was charged to the quota of tests."""


Until = Literal["sent", "delivered"]
"""The status at which a leg has reached a person."""


class Job(Wire):
    """One accepted request, or a chunk of it: the content, its recipients and the expiry."""

    v: Literal[1] = 1
    events: int = Field(default=0, exclude_if=lambda events: events == 0)
    """The events that are published of it (`EventKind`), as the user cache had them at acceptance."""
    charge: ChargeRecord | None = Field(default=None, exclude_if=_is_none)
    department: str | None = Field(default=None, exclude_if=_is_none)
    """That of the user, when it was accepted."""
    request: RequestId
    chunk: int | None = None
    """First `n` of the chunk this is, constant through every retry; None while the request is whole."""
    username: str
    user_id: RequestId
    """The user's immutable id: a username may be given to another user later."""
    method: str
    account: str | None = None
    lane: Lane
    content: Content | None
    """None where `content_at` says where it is kept (over 64 KiB of JSON)."""
    content_at: Reference | None = None
    attachments: tuple[Attachment, ...] = ()
    recipients: tuple[Recipient, ...]
    accepted_at: datetime
    due_at: datetime | None = Field(default=None, exclude_if=_is_none)
    """When it is to be sent, where the client names a time; until then scheduler keeps the job."""
    moves: int = Field(default=0, exclude_if=operator.not_)
    """How often `due_at` or `held_until` was changed."""
    held_until: datetime | None = Field(default=None, exclude_if=_is_none)
    """When the window opens that it waits for; until then scheduler keeps the job."""
    held_by: str | None = Field(default=None, exclude_if=_is_none)
    """The id of that window."""
    released_at: datetime | None = Field(default=None, exclude_if=_is_none)
    """When scheduler handed a scheduled or held job to its channel."""
    expires_at: datetime
    extended_s: int = 0
    """By how many seconds blocks have extended `expires_at`; 24 h at most."""
    attempt: int = 1
    fencing_token: int = 0
    """How often the rest was delayed, blocks included; it orders the copies of a job."""
    status_query: int = 0
    """Above 0: this copy sends nothing. It queries the status of its recipients at the provider for the nth time."""
    taken_by: str | None = Field(default=None, exclude_if=_is_none)
    """The one provider that may have taken the attempt whose status is queried; None: it is not known which."""
    segments: int | None = None
    resend_of: str | None = None
    reference: str | None = None
    """What the client calls this request."""
    category: Category = Category.NOTICE
    trace: str | None = None
    provider: str | None = Field(default=None, exclude_if=_is_none)
    """The one provider that may carry it, where an administrator named one."""
    key: str | None = Field(default=None, exclude_if=_is_none)
    """The name of the API key that sent it; None: a token."""

    leg: int | None = Field(default=None, exclude_if=_is_none)
    """Which leg of a request with a fallback it is: 1 for the request itself; None: there is no fallback."""
    leg_of: RequestId | None = Field(default=None, exclude_if=_is_none)
    """The request of the first leg."""
    until: Until | None = Field(default=None, exclude_if=_is_none)
    """When this leg has reached a person."""
    fallback: "tuple[NextLeg, ...]" = Field(default=(), exclude_if=operator.not_)
    """The further legs, on the way to scheduler."""

    @property
    def is_test(self) -> bool:
        """Whether a test key sent it: its provider is played, and no limit or statistic of real messages counts it."""
        return self.lane is Lane.TEST

    @property
    def is_cut_singly(self) -> bool:
        """Whether each message is a chunk: of a further leg, which people begin at different times."""
        return self.leg is not None and self.leg > 1

    @property
    def name(self) -> str:
        """Return the chunk's name, `REQUEST/FIRST_N`, which its claim records and log lines use."""
        first = self.chunk if self.chunk is not None else self.recipients[0].n
        return f"{self.request}/{first}"

    @property
    def is_scheduled(self) -> bool:
        """Whether scheduler keeps it: it has a time, and was not released yet."""
        return self.waits_until is not None and self.released_at is None

    @property
    def waits_until(self) -> datetime | None:
        """Until when scheduler keeps it."""
        return self.held_until or self.due_at

    @property
    def queued_at(self) -> datetime:
        """When its channel got it: its life, its retries and its outages count from here."""
        return self.released_at or self.accepted_at


class NextLeg(Wire):
    """A leg that begins where those before it have not reached a person."""

    after_s: int
    """How long after the release of the leg before."""
    lifetime_s: int | None = None
    """How long it is tried; None: until the whole request expires."""
    job: Job
    """Its recipients are those who have an address of its method, by the numbers of the first leg."""


class Progress(Wire):
    """How many people a request with a fallback has reached, key `progress`.

    People who were reached stay so, and none is open again: of two the one with fewer open counts, then more reached.
    """

    v: Literal[1] = 1
    request: RequestId
    reached: int
    not_reached: int
    open: int
    at: datetime

    @property
    def rank(self) -> tuple[int, int]:
        """The highest one counts."""
        return -self.open, self.reached


def message_id(request: str, n: int) -> str:
    """Return the id of one message of a request in the public API: `REQUEST-N`."""
    return f"{request}-{n}"


class Status(StrEnum):
    """What `/api/query` says of a message."""

    SCHEDULED = "scheduled"
    HELD = "held"
    """It waits for a window (`imsg_limits.windows`)."""
    QUEUED = "queued"
    RETRYING = "retrying"
    CANCELLED = "cancelled"
    UNCERTAIN = "uncertain"
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    DELIVERED = "delivered"


RANKS: Mapping[Status, int] = {
    Status.SCHEDULED: 0,
    Status.HELD: 0,  # of two of these the one with more moves is the newer one
    Status.QUEUED: 1,
    Status.RETRYING: 2,
    Status.CANCELLED: 3,
    Status.UNCERTAIN: 4,
    Status.SENT: 5,
    Status.FAILED: 6,
    Status.EXPIRED: 6,
    Status.DELIVERED: 7,
}
"""History only climbs: a status replaces another only where its rank is higher."""

CANCELLED = "cancelled"
"""The code of a message that was cancelled before it was sent."""

OPEN = (Status.SCHEDULED, Status.HELD, Status.QUEUED, Status.RETRYING)
"""Statuses of a message that waits."""

SETTLED = frozenset(Status).difference(OPEN)
"""Statuses after which only a receipt moves a message."""


class Outcome(Wire):
    """The outcome of one attempt at one message; outcomes travel in batches."""

    request: RequestId
    n: int
    attempt: int
    status: Status
    provider: str | None = None
    provider_id: str | None = None
    code: str | None = None
    detail: str | None = None
    """The provider's own answer, or our sentence where there was none."""
    at: datetime
    was_called: bool = Field(default=True, exclude_if=bool)
    """Whether the provider was called in this attempt; where it was not, the attempt is not counted."""
    hops: tuple[Hop, ...] = Field(default=(), exclude_if=operator.not_)
    """The providers of this attempt that were asked before; as good as never there are any."""
    segments: int | None = Field(default=None, exclude_if=operator.not_)
    """How many segments the provider charges, where its answer has them."""
    simulated: bool = Field(default=False, exclude_if=operator.not_)
    """Whether the sandbox simulated the provider, so that no person got the message."""


class Outcomes(Wire):
    """The batch in which outcomes travel, key `outcome`."""

    v: Literal[1] = 1
    outcomes: tuple[Outcome, ...]


class Receipt(Wire):
    """What a provider reported later of a message it took.

    History joins on (provider, provider_id, address), or by our own name of the message where that is known.
    """

    v: Literal[1] = 1
    provider: str
    account: str | None = None
    provider_id: str
    address: str
    request: RequestId | None = Field(default=None, exclude_if=_is_none)
    n: int | None = Field(default=None, exclude_if=_is_none)
    """Which message it was, where a token says it (a mail's bounce): then history does not look at provider's id and
    address."""
    complaint_of: RequestId | None = Field(default=None, exclude_if=_is_none)
    """In place of `request`, with `n`: the message that its recipient called spam. It is a line of the timeline, and
    the status stays."""
    status: Literal[Status.DELIVERED, Status.FAILED]
    code: str | None = None
    detail: str | None = None
    at: datetime
    segments: int | None = Field(default=None, exclude_if=_is_none)
    """How many segments the provider charges."""
    price: str | None = Field(default=None, exclude_if=_is_none)
    """What the provider charges for the message: a decimal string, with `currency`."""
    currency: str | None = Field(default=None, exclude_if=_is_none)
    """ISO 4217."""


class Inbound(Wire):
    """What a person wrote to us, key `inbound`; history joins it to the last message that was sent to them."""

    v: Literal[1] = 1
    method: str
    provider: str
    id: str
    """The provider's own, or a digest where it has none: a push that comes again has the same."""
    address: str
    """Who wrote it, in the normal form of the channel's addresses."""
    to: str | None = None
    """The number that it was written to, as far as the provider says."""
    signature: str | None = None
    """That of the message that is answered, without 【】, where the provider says it."""
    text: str
    opt_out: bool = False
    """Whether it asks for no more messages."""
    opt_in: bool = Field(default=False, exclude_if=operator.not_)
    """Whether it takes back that it asked for no more; as good as never it does."""
    at: datetime


class Change(Wire):
    """One line of the audit: the actor, the action and its target; never a password or a token."""

    v: Literal[1] = 1
    actor: str
    action: str
    target: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    at: datetime
    actor_id: str | None = None
    target_id: str | None = None
    """The ids of the users that actor and target are; None where one is no user."""
    key: str | None = None
    """The name of the API key by which the actor called; None: a token."""
    address: str | None = None
    """The client's address; None where there is no client."""
    request: str | None = None
    """The request of messages that it is about."""


class Event(Wire):
    """An event for the clients that subscribed to its type; its repeats have the same id."""

    id: str
    """`evt_…`, without a full stop: callbacks' `webhook-id`."""
    type: str
    at: datetime
    username: str
    user_id: RequestId
    """The user that owns it."""
    method: str | None = None
    address: str | None = None
    """The addresses that it names, in the normal form: an erasure finds it by them. No client sees them."""
    data: dict[str, Any]


class Events(Wire):
    """The batch in which events travel, key `event`."""

    v: Literal[1] = 1
    events: tuple[Event, ...]
