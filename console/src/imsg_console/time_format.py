"""Writes times as people read them: in the installation's time zone, as short as possible."""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class TimeFormat:
    """Writes the times of the API."""

    def __init__(self, timezone: str, *, english: bool, now: Callable[[ZoneInfo], datetime] = datetime.now) -> None:
        self.zone = ZoneInfo(timezone)
        self._english, self._now = english, now

    def full(self, text: str) -> str:
        """Write the time to the second: `2026-11-25 11:32:41`."""
        return f"{self._read(text):%Y-%m-%d %H:%M:%S}"

    def short(self, text: str) -> str:
        """Write the time of today, else the day and the time, else the year too."""
        at, today = self._read(text), self._now(self.zone)
        if at.date() == today.date():
            return f"{at:%H:%M:%S}"
        if today - at < timedelta(days=300):
            return f"{at.day} {MONTHS[at.month - 1]} {at:%H:%M}" if self._english else f"{at:%m-%d %H:%M}"
        return f"{at:%Y-%m-%d %H:%M}"

    def clock(self, text: str) -> str:
        """Write the time of day to the millisecond."""
        at = self._read(text)
        return f"{at:%H:%M:%S}.{at.microsecond // 1_000:03d}"

    def day(self, text: str) -> str:
        """Write the day alone."""
        return f"{self._read(text):%Y-%m-%d}"

    def read(self, text: str) -> datetime:
        """Read a time as people write it, such as `2026-11-25 11:32`. Raises ValueError."""
        at = datetime.fromisoformat(text.strip())
        return at if at.tzinfo else at.replace(tzinfo=self.zone)

    def _read(self, text: str) -> datetime:
        return datetime.fromisoformat(text).astimezone(self.zone)
