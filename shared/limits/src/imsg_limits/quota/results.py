"""The results of a charge, and a user's usage.

Results that every request makes are named tuples: a frozen dataclass takes three times as long to make
(docs/performance.md).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from imsg_contract.wire import Category, ChargeRecord
from imsg_limits.caps import CapCheck, CapRow
from imsg_limits.quota.rows import QuotaRow

BURST_S, MAX_BURST = 10, 200
"""More than this many single messages, or codes, of one user within BURST_S are a crowd, which is sent as bulk."""

Kind = Literal["single", "code", "leg"]
"""The kinds of requests: bursts of the first two are counted; a leg is no request of its own."""

ALL_SENDERS = "*"
"""In place of senders' names: every sender."""

Scope = Literal["user", "all"]
"""The owner of the quota: the user, or the whole installation."""


class Cost(NamedTuple):
    """What a request is charged as."""

    recipients: int
    kind: Kind | None = None
    """What it is, where it is no list."""
    segments: int = 0
    method: str = ""
    cap: CapCheck | None = None
    is_test: bool = False
    """It is charged to the quota of tests alone."""
    countries: Collection[str] = ()
    """Of the phone numbers."""
    default_category: Category | None = None
    """What it was read by, where it is v1's."""


class Window(NamedTuple):
    """One quota in its current period."""

    row: QuotaRow
    scope: Scope
    limit: int
    used: int
    opens_at: int
    """Unix time at which the next period begins."""
    opens_in_s: int

    @property
    def left(self) -> int:
        """What may still be charged; 0 where the limit was lowered below the usage."""
        return max(0, self.limit - self.used)


class Charged(NamedTuple):
    """The token is valid, the user may send, and the request is counted."""

    windows: tuple[Window, ...]
    charge: ChargeRecord
    is_crowded: bool = False
    """Whether the user sent more than `MAX_BURST` of this kind within `BURST_S`, without this one."""
    events: int = 0
    """Which events of the user's messages are published (`wire.EventKind`)."""
    senders: str = ALL_SENDERS
    """The named senders that the user may use: names with commas, or `*`."""
    department: str = ""

    def may_send_by(self, sender: str) -> bool:
        """Return whether the user may use a sender."""
        return self.senders == ALL_SENDERS or sender in self.senders.split(",")


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A quota is used up and nothing was counted: `window` is that quota, of several the one that opens last."""

    windows: tuple[Window, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class Capped:
    """The address of a single message got as many as a cap allows, and nothing was counted."""

    row: CapRow
    opens_in_s: float


@dataclass(frozen=True, slots=True)
class CountryNotAllowed:
    """The user may not send to a country, and nothing was counted."""

    country: str


@dataclass(frozen=True, slots=True)
class StaleCategory:
    """The user's default category is another than the request was read by, and nothing was counted."""

    category: Category


@dataclass(frozen=True, slots=True)
class SendingDisabled:
    """The user may not send."""


@dataclass(frozen=True, slots=True)
class CodesForbidden:
    """The user may not send codes."""


@dataclass(frozen=True, slots=True)
class StaleToken:
    """The user's epoch or id has changed: the token must be verified against these; or the key was changed."""

    epoch: int
    user_id: str


@dataclass(frozen=True, slots=True)
class UserNotCached:
    """The user cache has no such user: auth has to write it, then the charge is repeated."""


@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """The token was revoked by a log-out, or the key was ended."""


@dataclass(frozen=True, slots=True)
class CachedUser:
    """A user of the cache, whose token is not revoked."""

    epoch: int
    role: str
    user_id: str
    since: datetime
    """When the user was registered."""
    events: int = 0
    """As in `Charged`."""
    key: bytes | None = None
    """The API key that was asked for, as auth wrote it (`api_keys.CachedKey`)."""
    department: str = ""


class Usage(NamedTuple):
    """What a user used in the current periods."""

    windows: tuple[Window, ...]
    """The quotas of the user, then those of the installation."""
    hour: int
    day: int
    recipients: int
    """Requests of the hour and of the day and recipients of the day, limited or not."""
