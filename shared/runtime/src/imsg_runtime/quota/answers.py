"""What a charge may answer, and what is used."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

AT_ONCE_S, MOST_AT_ONCE = 10, 200
"""What one user may send at once, of single messages and of codes, before it is held to be a crowd (issue 3 of 5)."""

Kind = Literal["single", "code"]
"""What crowds are counted of."""

WindowName = Literal["per_hour", "per_day", "recipients_per_day"]


@dataclass(frozen=True, slots=True)
class Window:
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


@dataclass(frozen=True, slots=True)
class Charge:
    """The very windows that a request was counted in, so that they and no later ones are given back."""

    key: str
    fields: tuple[tuple[str, int], ...]
    user_id: str = ""
    """Whose count it is; empty where the mirror has no id."""


@dataclass(frozen=True, slots=True)
class Charged:
    """The token holds, the user may send, and the request is counted."""

    role: str
    windows: tuple[Window, ...]
    charge: Charge
    is_crowded: bool = False
    """Past `MOST_AT_ONCE` of its kind within `AT_ONCE_S`, this one not counted."""


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
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class NoMirror:
    """Redis knows no such user at present: ask auth to write the mirror, then try again."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """This token was logged out."""


@dataclass(frozen=True, slots=True)
class Known:
    """The mirror as it is now; the token is not revoked."""

    epoch: int
    role: str
    available: bool
    user_id: str | None = None
    since: datetime | None = None
    """The user's immutable id, and when it was registered; None in a mirror that an older auth wrote."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a user has used of the present windows, and when they end (Unix time)."""

    hour: int
    day: int
    recipients: int
    hour_opens: int
    day_opens: int
