"""How long messages took from acceptance to sent and to delivered: the median and the 95th percentile by method."""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, cast, func, select

from imsg_channels import METHODS
from imsg_history.database import Database
from imsg_history.ids import find_day, first_id
from imsg_history.latencies import LATENCIES_S
from imsg_history.ownership import Ownership
from imsg_history.tables import LATENCY_COUNTS, TESTS, day_facts, messages

MAX_HOURS = timedelta(hours=25)
"""The longest span that is read from the messages themselves; a longer one is read from the days it touches."""

Buckets = dict[str, list[int]]
"""`sent` and `delivered` → the number of messages in each bucket."""


class LatencyStatistics:
    """Reads the times of messages, which are kept in buckets."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        self._database = database
        self._zone = zone

    async def find(
        self, ownership: Ownership | None, since: datetime, until: datetime, *, by_day: bool
    ) -> list[dict[str, Any]]:
        """Return the percentiles of each method that sent anything. Raises DatabaseUnavailable."""
        is_short = not by_day and until - since <= MAX_HOURS
        read = self._read_messages if is_short else self._read_days
        found = await read(ownership, since, until)
        return [
            {"method": method, **{kind: _summarize(found[method][kind]) for kind in LATENCY_COUNTS}}
            for method in METHODS
            if method in found
        ]

    async def _read_messages(self, ownership: Ownership | None, since: datetime, until: datetime) -> dict[str, Buckets]:
        columns = (messages.c.method, messages.c.sent_in, messages.c.delivered_in)
        where = [
            messages.c.method.in_(METHODS),
            messages.c.request >= first_id(since),
            messages.c.request < first_id(until),
            messages.c.request.not_in(TESTS),
            *(ownership.conditions(messages) if ownership else ()),
        ]
        found: defaultdict[str, Buckets] = defaultdict(_make_buckets)
        for row in await self._database.fetch(
            select(*columns, func.count().label("messages")).where(*where).group_by(*columns)
        ):
            for kind, bucket in (("sent", row.sent_in), ("delivered", row.delivered_in)):
                if bucket is not None:
                    found[row.method][kind][bucket] += row.messages
        return found

    async def _read_days(self, ownership: Ownership | None, since: datetime, until: datetime) -> dict[str, Buckets]:
        first, last = find_day(since, self._zone), find_day(until - timedelta(microseconds=1), self._zone)
        where = [day_facts.c.method.in_(METHODS), day_facts.c.day >= first, day_facts.c.day <= last]
        if ownership is not None:
            where += ownership.is_of_user(day_facts)
        names = [name for names in LATENCY_COUNTS.values() for name in names]
        sums = (cast(func.sum(day_facts.c[name]), BigInteger).label(name) for name in names)
        rows = await self._database.fetch(select(day_facts.c.method, *sums).where(*where).group_by(day_facts.c.method))
        return {
            row.method: {
                kind: [int(getattr(row, name)) for name in counted] for kind, counted in LATENCY_COUNTS.items()
            }
            for row in rows
        }


def find_percentile(counts: Sequence[int], share: float) -> int | None:
    """Return the upper bound of the bucket that a share of all is below or in; None where it has no bound."""
    wanted, below = math.ceil(sum(counts) * share), 0
    for bound, count in zip(LATENCIES_S, counts, strict=False):
        below += count
        if below >= wanted:
            return bound
    return None


def _make_buckets() -> Buckets:
    return {kind: [0] * len(names) for kind, names in LATENCY_COUNTS.items()}


def _summarize(counts: Sequence[int]) -> dict[str, int | None] | None:
    if not sum(counts):
        return None
    return {"count": sum(counts), "p50_s": find_percentile(counts, 0.5), "p95_s": find_percentile(counts, 0.95)}
