"""Moments as the tables hold them: Unix milliseconds; and as answers show them."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ms(at: datetime) -> int:
    """Turn a time into milliseconds."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def rfc3339(ms: int) -> str:
    """Write a moment as RFC 3339 in UTC, to the millisecond."""
    at = EPOCH + timedelta(milliseconds=ms)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(ms: int | None) -> str | None:
    """Write a moment that may be none."""
    return None if ms is None else rfc3339(ms)
