"""The ids of requests and messages, and the time in a request's UUIDv7."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LAST_MS = (1 << 48) - 1
"""The latest time a UUIDv7 can hold (RFC 9562, section 5.7: 48 bits of milliseconds)."""

LAST_N = 2**31 - 1
"""The highest number of a message that the tables hold."""

_NAME = re.compile(r"([0-9a-f]{32})(?:-(0|[1-9][0-9]{0,9}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Name:
    """An `id` of the public API: of a request, or of one message."""

    request: str
    n: int | None = None

    @classmethod
    def read(cls, text: str) -> "Name | None":
        """Read `REQUEST` or `REQUEST-N`; None where it is neither."""
        match = _NAME.fullmatch(text.lower())
        if match is None:
            return None
        n = None if match[2] is None else int(match[2])
        return cls(match[1], n) if n is None or n <= LAST_N else None


def time_of(request: str) -> datetime:
    """Return the time in a request's id, to the millisecond: the API's `created_at`."""
    return EPOCH + timedelta(milliseconds=min(int(request[:12], 16), LATEST_MS))


LATEST_MS = int((datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH).total_seconds()) * 1_000
"""The latest time that Python and PostgreSQL both hold."""


def to_ms(at: datetime) -> int:
    """Convert a time to Unix milliseconds."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int | None) -> datetime | None:
    """Convert Unix milliseconds to a time; None stays None."""
    return None if ms is None else EPOCH + timedelta(milliseconds=ms)


def first_id(at: datetime) -> str:
    """Return the lowest request id of a time: requests of that time or later have it or a higher one."""
    ms = -((EPOCH - at) // timedelta(milliseconds=1))
    return f"{min(max(ms, 0), LAST_MS):012x}{0:020x}"


def find_day(at: datetime, zone: tzinfo) -> str:
    """Return the day of a time in a zone, `YYYY-MM-DD`."""
    try:
        return at.astimezone(zone).date().isoformat()
    except OverflowError:  # the first or last hours of all time
        return at.date().isoformat()


def rfc3339(at: datetime) -> str:
    """Write a time as RFC 3339 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
