"""The time at which a message is to be sent, as clients write it."""

from datetime import UTC, datetime, timedelta, timezone

from imsg_contract.errors import Refusal

MAX_AHEAD = timedelta(days=30)
MAX_PAST = timedelta(minutes=5)
"""How far before now it may be: what is a little late is sent at once."""

EXAMPLE = "2026-12-01T09:00:00+08:00"
"""What the document of the API shows. An answer shows a time that can be sent: `_write_tomorrow`."""

BEIJING = timezone(timedelta(hours=8))


def read_send_at(given: object, now: datetime) -> datetime:
    """Read `send_at`: RFC 3339 with an offset, to the millisecond.

    Raises Refusal wrong_type, no_offset, too_far, in_past.
    """
    try:
        at = datetime.fromisoformat(given) if isinstance(given, str) else None
        if at is not None and at.tzinfo is not None:
            at = at.astimezone(UTC).replace(microsecond=at.microsecond // 1_000 * 1_000)
    except (ValueError, OverflowError):
        at = None
    if at is None:
        example = _write_tomorrow(now)
        zh, en = f"应为 RFC 3339 时间，如 {example}", f"it must be an RFC 3339 time such as {example}"
        raise Refusal("wrong_type", field="send_at", why_zh=zh, why_en=en)
    if at.tzinfo is None:
        raise Refusal("no_offset", field="send_at", example=_write_tomorrow(now))
    if at > now + MAX_AHEAD:
        raise Refusal("too_far", field="send_at", days=MAX_AHEAD.days)
    if at < now - MAX_PAST:
        raise Refusal("in_past", field="send_at", minutes=MAX_PAST.seconds // 60)
    return at


def write_time(at: datetime) -> str:
    """Write a time as answers have it: RFC 3339, UTC, milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _write_tomorrow(now: datetime) -> str:
    """Write nine o'clock of the next day as a client in China would."""
    return (now.astimezone(BEIJING) + timedelta(days=1)).replace(hour=9, minute=0, second=0, microsecond=0).isoformat()
