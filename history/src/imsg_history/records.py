"""The rows that events become, one frozen record a table, and how text is made fit to be stored."""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from imsg_contract.wire import Change, Status
from imsg_history.facts import compact, utc
from imsg_history.ids import time_of
from imsg_history.latencies import find_bucket

MAX_ADDRESS = 320
MAX_NAME = 64
MAX_PROVIDER_ID = 255
MAX_CODE = 128
MAX_DETAIL = 4_000
MAX_REFERENCE = 255
MAX_TEXT = 2_000
"""In characters. PostgreSQL's index entries hold 2,704 bytes; longer text is cut, since it is only ever shown."""


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request, without its recipients."""

    request: str
    username: str
    method: str
    account: str | None
    lane: str
    subject: str | None
    content: str | None
    content_at: str | None
    attachments: str
    segments: int | None
    resend_of: str | None
    accepted_at: datetime
    expires_at: datetime
    category: str
    day: str
    template: str | None = None
    reference: str | None = None
    user_id: str | None = None
    key: str | None = None
    department: str | None = None
    due_at: datetime | None = None
    moves: int = 0
    released_at: datetime | None = None
    held_until: datetime | None = None
    held_by: str | None = None
    leg: int | None = None
    leg_of: str | None = None
    legs: str | None = None

    @property
    def version(self) -> tuple[bool, int]:
        """The order of the jobs of one scheduled request; the highest holds its current time."""
        return self.released_at is not None, self.moves

    @property
    def is_further_leg(self) -> bool:
        """Whether it is a leg that people begin at different times, each by a job of their own."""
        return self.leg is not None and self.leg > 1


@dataclass(frozen=True, slots=True)
class JobRow:
    """A Job's bytes as they were published."""

    request: str
    body: bytes
    repeats: int = 0


@dataclass(slots=True)
class MessageRow:
    """A message as the facts of a batch describe it; its recipient is None until its job is known."""

    request: str
    n: int
    username: str | None
    method: str | None
    written: str | None
    address: str | None
    status: str
    rank: int
    attempt: int
    at: datetime
    mark: int
    attempts: int
    provider: str | None = None
    provider_id: str | None = None
    code: str | None = None
    detail: str | None = None
    user_id: str | None = None
    erased_at: datetime | None = None
    events: int | None = None
    sent_in: int | None = None
    delivered_in: int | None = None
    country: str | None = None
    billed_segments: int | None = None
    billed: int | None = None
    currency: str | None = None
    params: str | None = None
    reference: str | None = None
    simulated: int | None = None

    def __post_init__(self) -> None:
        """Find the bucket of the time that the message took, where it was sent or delivered."""
        if self.status == Status.SENT:
            self.sent_in = self._find_bucket()
        elif self.status == Status.DELIVERED:
            self.delivered_in = self._find_bucket()

    def _find_bucket(self) -> int:
        return find_bucket((self.at - time_of(self.request)).total_seconds())

    @property
    def precedence(self) -> tuple[int, int, datetime, int]:
        """Which of two facts sets the status: the one with the higher precedence."""
        return self.rank, self.attempt, self.at, self.mark

    @property
    def bill(self) -> tuple[str, int]:
        """Which of two bills of one message counts: the one that sorts last."""
        return self.currency or "", self.billed or 0

    def merge(self, other: "MessageRow") -> None:
        """Merge another row of the same message."""
        if self.username is None:
            self.username, self.method = other.username, other.method
            self.written, self.address, self.country = other.written, other.address, other.country
            self.user_id, self.events, self.params = other.user_id, other.events, other.params
            self.reference = other.reference
        self.attempts = max(self.attempts, other.attempts)
        self.sent_in = _least(self.sent_in, other.sent_in)
        self.delivered_in = _least(self.delivered_in, other.delivered_in)
        self.billed_segments = _greatest(self.billed_segments, other.billed_segments)
        self.simulated = _greatest(self.simulated, other.simulated)
        if other.billed is not None and (self.billed is None or other.bill > self.bill):
            self.billed, self.currency = other.billed, other.currency
        if other.precedence > self.precedence:
            self.status, self.rank, self.attempt = other.status, other.rank, other.attempt
            self.at, self.mark = other.at, other.mark
            self.provider, self.provider_id = other.provider, other.provider_id
            self.code, self.detail = other.code, other.detail


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One line of a message's timeline; `attempt` is None for a receipt or a dead letter, which belong to none."""

    request: str
    n: int
    at: datetime
    mark: int
    attempt: int | None
    status: str
    provider: str | None = None
    provider_id: str | None = None
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiptRow:
    """A receipt whose message is not known yet."""

    provider: str
    provider_id: str
    address: str
    at: datetime
    mark: int
    status: str
    code: str | None
    detail: str | None
    kept_at: datetime
    billed_segments: int | None = None
    billed: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """A reply of a person."""

    id: str
    at: datetime
    method: str
    provider: str
    address: str
    written_to: str | None
    signature: str | None
    text: str | None
    opt_out: int
    kept_at: datetime


@dataclass(frozen=True, slots=True)
class DeadRow:
    """A dead letter with its body."""

    id: str
    request: str | None
    method: str | None
    queue: str
    reason: str
    detail: str | None
    body: bytes
    at: datetime


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A line of the audit."""

    id: str
    at: datetime
    actor: str
    action: str
    target: str
    before: str | None
    after: str | None
    actor_id: str | None
    target_id: str | None
    key: str | None
    address: str | None
    request: str | None

    @classmethod
    def make(cls, change: Change) -> "AuditRow":
        """Make the row of a change; the same change has the same id."""
        at = utc(change.at)
        actor, action, target = clean(change.actor), clean(change.action), clean(change.target)
        before, after = _write_state(change.before), _write_state(change.after)
        name = hashlib.sha256(repr((at, actor, action, target, before, after)).encode()).hexdigest()[:32]
        more = (change.actor_id, change.target_id, change.key, change.address, change.request)
        return cls(name, at, actor, action, target, before, after, *(clean_optional(text, MAX_NAME) for text in more))


def _write_state(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else clean(compact(state))


def _greatest(first: int | None, other: int | None) -> int | None:
    return max((number for number in (first, other) if number is not None), default=None)


def _least(first: int | None, other: int | None) -> int | None:
    return min((bucket for bucket in (first, other) if bucket is not None), default=None)


def clean(text: str, longest: int | None = None) -> str:
    """Cut text to `longest` characters, and replace what no database stores by U+FFFD: U+0000 and lone surrogates."""
    text = text[:longest].replace("\0", "\ufffd")
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def clean_optional(text: str | None, longest: int | None = None) -> str | None:
    """Clean text that may be absent."""
    return None if text is None else clean(text, longest)


def fingerprint(*parts: object) -> int:
    """Return a checksum that tells apart different facts of the same time; a repeated fact has the same."""
    return zlib.crc32("\0".join(map(repr, parts)).encode())
