"""What travels through the broker: jobs, outcomes, receipts and changes, and the results that become statuses."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, computed_field

from imsg_contract.topology import FORMER_NORMAL, Lane

VERSION = 1
"""Version of the wire; raised only when an old reader would misread a new message."""

RequestId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""A UUIDv7 as 32 hex digits (RFC 9562, section 5.7)."""


class Wire(BaseModel):
    """A message on the wire: JSON, frozen, fields of a newer version ignored."""

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


Content = str | dict[str, Any]
"""smtp `{subject, text, html?}`; sms and wechat a str, or `{template, params}`."""


class Category(StrEnum):
    """What a message is for."""

    CODE = "code"
    """A log-in code: for one recipient who waits for it, and of no use after minutes."""
    NOTICE = "notice"
    MARKETING = "marketing"


def former_word(lane: Lane) -> str:
    """Say of a lane what readers of before there were three understand (ADR 26)."""
    return lane.value if lane is Lane.BULK else FORMER_NORMAL


class Job(Wire):
    """One accepted request, or a chunk of it: what to send to whom, until when."""

    # In JSON a chunk's number and its token go by the names of the first version.
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    v: Literal[1] = 1
    request: RequestId
    chunk: int | None = Field(default=None, alias="part")
    """First `n` of the chunk this is, constant through every retry; None while the request is whole."""
    username: str
    user_id: RequestId | None = None
    """Whose it is, whatever becomes of the name; None in jobs of before users had ids."""
    method: str
    account: str | None = None
    lane: Lane = Field(validation_alias=AliasChoices("way", "lane"), serialization_alias="way")
    content: Content | None
    """None where `content_at` says where it is kept (over 64 KiB of JSON)."""
    content_at: Reference | None = None
    attachments: tuple[Attachment, ...] = ()
    recipients: tuple[Recipient, ...]
    accepted_at: datetime
    expires_at: datetime
    extended_s: int = 0
    """By how many seconds blocks have extended `expires_at`; 24 h at most."""
    attempt: int = 1
    fencing_token: int = Field(default=0, alias="turn")
    """How often what is left was delayed, blocks included: it tells a copy of the job from an older one."""
    asking: int = 0
    """Above 0: this copy sends nothing, it asks the provider for that time what became of its recipients."""
    segments: int | None = None
    resend_of: str | None = None
    reference: str | None = None
    """What the client calls this request."""
    category: Category = Category.NOTICE
    trace: str | None = None

    @computed_field(alias="lane")  # type: ignore[prop-decorator]
    @property
    def former_lane(self) -> str:
        """The lane in the words of before, for readers of before; ours read `way`."""
        return former_word(self.lane)

    @property
    def name(self) -> str:
        """Name the chunk, `REQUEST/FIRST_N`: what its claims are kept under and what log lines call it."""
        first = self.chunk if self.chunk is not None else self.recipients[0].n
        return f"{self.request}/{first}"


def message_id(request: str, n: int) -> str:
    """Name one message of a request as the public API does: `REQUEST-N`."""
    return f"{request}-{n}"


class Status(StrEnum):
    """What `/api/query` says of a message."""

    QUEUED = "queued"
    RETRYING = "retrying"
    UNCERTAIN = "uncertain"
    SENT = "sent"
    FAILED = "failed"
    EXPIRED = "expired"
    DELIVERED = "delivered"


RANKS: Mapping[Status, int] = {
    Status.QUEUED: 0,
    Status.RETRYING: 1,
    Status.UNCERTAIN: 2,
    Status.SENT: 3,
    Status.FAILED: 4,
    Status.EXPIRED: 4,
    Status.DELIVERED: 5,
}
"""History only climbs: a status replaces another only where its rank is higher."""

SETTLED = frozenset(Status) - {Status.QUEUED, Status.RETRYING}
"""Statuses after which only a receipt moves a message."""


class Outcome(Wire):
    """What became of one attempt at one message; travels in batches."""

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


class Outcomes(Wire):
    """The batch in which outcomes travel, key `outcome`."""

    v: Literal[1] = 1
    outcomes: tuple[Outcome, ...]


class Receipt(Wire):
    """What a provider reported later of a message it took; history joins on (provider, provider_id, address)."""

    v: Literal[1] = 1
    provider: str
    account: str | None = None
    provider_id: str
    address: str
    status: Literal[Status.DELIVERED, Status.FAILED]
    code: str | None = None
    detail: str | None = None
    at: datetime


class Change(Wire):
    """One line of the audit: who changed what of whom; never a password or a token."""

    v: Literal[1] = 1
    actor: str
    action: str
    subject: str
    details: dict[str, Any] = {}
    at: datetime
    actor_id: str | None = None
    subject_id: str | None = None
    """The ids of the users that actor and subject are; None where one is no user, and in changes of before ids."""


class TemplateLimits(Wire):
    """What a sender publishes of a template it may send by, as JSON in `template_limits_key`.

    The gateway refuses by it at once what the provider would refuse later.
    """

    default: bool = False
    """Free text goes into the one variable of the default template."""
    signature: str = ""
    """As it arrives, such as `【天存】`."""
    text: str = ""
    """The fixed words around `${variable}`; empty where they are not known."""
    variables: dict[str, int | None] = {}
    """Name → the most characters it takes; None: no limit of its own."""
    least: dict[str, int] = {}
    """Name → the fewest characters it takes, where that is more than none."""
    kinds: dict[str, str] = {}
    """Name → `digits` or `letters` (ASCII letters and digits), where it does not take any text."""
    links: bool = False
    breaks: bool = False
    """Whether a variable may hold a link, a line break."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took the message."""

    provider: str
    provider_id: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """The provider said not now; `after_s` is how long it asked to wait, if it said."""

    provider: str
    code: str
    detail: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never take this message."""

    provider: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """Nothing goes through for now, whoever the recipient: a wrong login, an empty balance, an open breaker.

    `scope` names what is blocked (a server, a provider, an account); `after_s` is when to look again.
    It uses up no attempt.
    """

    provider: str
    scope: str
    code: str
    detail: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """The provider may have the message: it was sent, and no answer came."""

    provider: str
    code: str
    detail: str


Result = Sent | Again | Refused | Blocked | Unknown
"""What a channel says of one attempt at one recipient; the worker turns it into a status."""
