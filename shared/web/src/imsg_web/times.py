"""Times as clients write them: RFC 3339."""

import re
from datetime import UTC, datetime, timedelta, timezone

_FORM = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)


def read_rfc3339(text: str) -> datetime:
    """Read a time with its offset, and return it in UTC.

    Raises ValueError, also for a time that is in UTC before the year 1 or after 9999.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("no RFC 3339 time")
    day, minute, second, fraction, zulu, sign, hours, minutes = match.groups()
    is_leap = second == "60"  # RFC 3339, section 5.7; Python has none, so it is the next second's beginning
    offset = timedelta() if zulu else timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    try:
        at = datetime.fromisoformat(f"{day}T{minute}:{'59' if is_leap else second}")
        at += timedelta(seconds=is_leap, microseconds=int((fraction or "")[:6].ljust(6, "0")))
        return at.replace(tzinfo=timezone(offset)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("beyond the years that Python has") from error
