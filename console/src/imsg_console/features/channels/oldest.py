"""The oldest waiting message of a channel. The API lists the newest first, so the search goes by the hour."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from imsg_console.client import Reader

WAITING = ("queued", "retrying")

LOOKED_BACK = timedelta(hours=50)
"""A message lives 24 h, and as much longer as blocks may extend it."""


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest message was accepted between these times, which are equal where the moment is known."""

    since: str
    until: str


@dataclass(frozen=True, slots=True)
class Day:
    """The results of a channel in the last 24 hours."""

    succeeded: int = 0
    failed: int = 0


class Hours:
    """The counts of the last hours, by channel."""

    def __init__(self, buckets: list[Mapping[str, Any]], now: datetime) -> None:
        self._buckets = buckets
        self._now = now

    @classmethod
    async def load(cls, api: Reader, now: datetime) -> "Hours":
        """Load the counts. Raises ApiError, SessionOver."""
        since = (now - LOOKED_BACK).astimezone(UTC).isoformat()
        until = (now + timedelta(hours=1)).astimezone(UTC).isoformat()
        answer = await api.get("/api/v2/stats", bucket="hour", since=since, until=until)
        return cls(answer["buckets"], now)

    def day(self, method: str) -> Day:
        """Add up the last 24 hours."""
        begin = (self._now - timedelta(hours=24)).astimezone(UTC)
        succeeded = failed = 0
        for bucket in self._buckets:
            if _read(bucket["start"]) >= begin:
                counts = bucket["counts"].get(method, {})
                succeeded += counts.get("sent", 0) + counts.get("delivered", 0)
                failed += counts.get("failed", 0) + counts.get("expired", 0)
        return Day(succeeded, failed)

    def count(self, method: str, status: str) -> int:
        """Count the messages of a status that were accepted since `since`."""
        return sum(bucket["counts"].get(method, {}).get(status, 0) for bucket in self._buckets)

    @property
    def since(self) -> datetime:
        """The beginning of the first hour that is counted."""
        return _read(self._buckets[0]["start"])

    @property
    def day_since(self) -> datetime:
        """The beginning of the first hour of `day`."""
        begin = (self._now - timedelta(hours=24)).astimezone(UTC)
        return next((at for bucket in self._buckets if (at := _read(bucket["start"])) >= begin), begin)

    def first(self, method: str) -> tuple[str, str, dict[str, int]] | None:
        """Find the earliest hour in which something still waits: beginning, end, how many of each status."""
        for bucket in self._buckets:
            counts = bucket["counts"].get(method, {})
            waiting = {status: counts[status] for status in WAITING if counts.get(status)}
            if waiting:
                start = _read(bucket["start"])
                return (_write(start), _write(start + timedelta(hours=1)), waiting)
        return None


MAX_MESSAGES = 500
"""The most messages of one call. Where more wait in an hour, only the hour is known."""


async def find_oldest(api: Reader, hours: Hours, method: str) -> Oldest | None:
    """Find the oldest message that waits; None where none does. Raises ApiError, SessionOver."""
    first = hours.first(method)
    if first is None:
        return None
    since, until, counts = first
    if sum(counts.values()) > MAX_MESSAGES:
        return Oldest(since, until)
    times = []
    for status in counts:
        parameters = {"method": method, "status": status, "since": since, "until": until, "limit": MAX_MESSAGES}
        answer = await api.get("/api/v2/messages", **parameters)
        times += [str(message["created_at"]) for message in answer["messages"]]
    earliest = min(times, default=None)
    return Oldest(earliest, earliest) if earliest else None


def _read(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _write(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
