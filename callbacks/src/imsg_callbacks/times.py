"""Converts times between Unix milliseconds (tables), datetime and RFC 3339 (responses)."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(at: datetime) -> int:
    """Return a time as Unix milliseconds."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def rfc3339(ms: int) -> str:
    """Write Unix milliseconds as RFC 3339 in UTC, with milliseconds."""
    at = EPOCH + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(ms: int | None) -> str | None:
    """Write Unix milliseconds as RFC 3339; None stays None."""
    return None if ms is None else rfc3339(ms)
