"""Since when the oldest message of a channel waits, though the API lists the newest first."""

from datetime import UTC, datetime
from typing import Any

from imsg_console.features.channels.oldest import Hours, Oldest, find_oldest

NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)


class History:
    """Answers stats by the hour, and a query with what it is given."""

    def __init__(self, hours: dict[int, dict[str, int]], found: list[str]) -> None:
        self._hours = hours
        self._found = found
        self.asked: list[dict[str, object]] = []

    async def get(self, path: str, **params: object) -> dict[str, Any]:
        """Answer."""
        if path == "/api/v2/stats":
            buckets = [
                {"start": f"2026-11-25T{hour:02d}:00:00.000Z", "counts": {"smtp": counts}}
                for hour, counts in sorted(self._hours.items())
            ]
            return {"buckets": buckets}
        self.asked.append(params)
        return {"messages": [{"created_at": at} for at in self._found], "next": None}


async def test_the_oldest_is_shown_to_the_moment() -> None:
    times = ["2026-11-25T09:40:00.000Z", "2026-11-25T09:12:00.000Z"]
    history = History({8: {"sent": 9}, 9: {"queued": 2, "sent": 1}, 11: {"queued": 5}}, times)
    hours = await Hours.load(history, NOW)
    assert await find_oldest(history, hours, "smtp") == Oldest(times[1], times[1])
    assert [asked["since"] for asked in history.asked] == ["2026-11-25T09:00:00Z"]


async def test_among_very_many_the_hour_is_shown() -> None:
    history = History({9: {"queued": 400, "retrying": 200}}, [])
    hours = await Hours.load(history, NOW)
    assert await find_oldest(history, hours, "smtp") == Oldest("2026-11-25T09:00:00Z", "2026-11-25T10:00:00Z")
    assert not history.asked


async def test_where_nothing_waits_there_is_no_oldest() -> None:
    history = History({9: {"sent": 4, "failed": 2, "delivered": 1}}, [])
    hours = await Hours.load(history, NOW)
    assert await find_oldest(history, hours, "smtp") is None
    day = hours.day("smtp")
    assert (day.succeeded, day.failed) == (5, 2)
