"""What a charge may answer, and what is used.

What every request makes is a named tuple: a frozen dataclass takes three times as long to make (docs/performance.md).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

AT_ONCE_S, MOST_AT_ONCE = 10, 200
"""What one user may send at once, of single messages and of codes, before it is held to be a crowd (issue 3 of 5)."""

Kind = Literal["single", "code"]
"""What crowds are counted of."""

ALL_SENDERS = "*"
"""Of a cached user, in place of senders' names."""

WindowName = Literal["per_hour", "per_day", "recipients_per_day"]


class Window(NamedTuple):
    """One limit of a user in its present window."""

    name: WindowName
    limit: int
    used: int
    opens_at: int
    """Unix time at which the next window begins."""
    opens_in_s: int

    @property
    def left(self) -> int:
        """What may still be charged; 0 also where the limit was lowered below what is used."""
        return max(0, self.limit - self.used)


class Charge(NamedTuple):
    """The very windows that a request was counted in, so that they and no later ones are given back."""

    key: str
    fields: tuple[tuple[str, int], ...]
    user_id: str
    """The user whose requests are counted."""


class Charged(NamedTuple):
    """The token holds, the user may send, and the request is counted."""

    role: str
    windows: tuple[Window, ...]
    charge: Charge
    is_crowded: bool = False
    """Past `MOST_AT_ONCE` of its kind within `AT_ONCE_S`, this one not counted."""
    events: int = 0
    """Which events of what the user sends somebody wants to hear (`wire.EventKind`)."""
    senders: str = ALL_SENDERS
    """By which senders the user may send mail: their names with commas, or all."""

    def may_send_by(self, sender: str) -> bool:
        """Tell whether the user may send by a sender of this name."""
        return self.senders == ALL_SENDERS or sender in self.senders.split(",")


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Nothing was counted: `window` is the limit in the way, the one that opens last where there are several."""

    role: str
    windows: tuple[Window, ...]
    window: Window


@dataclass(frozen=True, slots=True)
class Disabled:
    """Sending is turned off for this user."""

    role: str


@dataclass(frozen=True, slots=True)
class NoCodes:
    """Codes may not be sent by this user."""

    role: str


@dataclass(frozen=True, slots=True)
class Stale:
    """The user's epoch or id is another: verify the token against these, or it is void."""

    epoch: int
    user_id: str


@dataclass(frozen=True, slots=True)
class NotCached:
    """Redis knows no such user at present: have auth write the user into the cache, then try again."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """This token was logged out."""


@dataclass(frozen=True, slots=True)
class Known:
    """The cached user as it is now; the token is not revoked."""

    epoch: int
    role: str
    available: bool
    user_id: str
    since: datetime
    """The user's immutable id, and when it was registered."""
    events: int = 0
    """As in `Charged`."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a user has used of the present windows, and when they end (Unix time)."""

    hour: int
    day: int
    recipients: int
    hour_opens: int
    day_opens: int
