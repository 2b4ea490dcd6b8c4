"""How long messages took from acceptance to sent and to delivered: the median and the 95th percentile by method."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, cast, func, select

from imsg_channels import METHODS
from imsg_history.database import Database
from imsg_history.latencies import LATENCIES_S
from imsg_history.stats import Span
from imsg_history.tables import LATENCY_COUNTS, day_facts, messages

Buckets = dict[str, list[int]]
"""`sent` and `delivered` → the number of messages in each bucket."""


class LatencyStatistics:
    """Reads the times of messages, which are kept in buckets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, span: Span) -> list[dict[str, Any]]:
        """Return the percentiles of each method that sent anything. Raises DatabaseUnavailable."""
        found = await (self._read_messages(span) if span.is_short else self._read_days(span))
        return [
            {"method": method, **{kind: _summarize(found[method][kind]) for kind in LATENCY_COUNTS}}
            for method in METHODS
            if method in found
        ]

    async def _read_messages(self, span: Span) -> dict[str, Buckets]:
        columns = (messages.c.method, messages.c.sent_in, messages.c.delivered_in)
        counting = select(*columns, func.count().label("messages")).where(*span.find_messages()).group_by(*columns)
        buckets: defaultdict[str, Buckets] = defaultdict(_make_buckets)
        for row in await self._database.fetch(counting):
            for kind, bucket in (("sent", row.sent_in), ("delivered", row.delivered_in)):
                if bucket is not None:
                    buckets[row.method][kind][bucket] += row.messages
        return buckets

    async def _read_days(self, span: Span) -> dict[str, Buckets]:
        names = [name for names in LATENCY_COUNTS.values() for name in names]
        sums = (cast(func.sum(day_facts.c[name]), BigInteger).label(name) for name in names)
        counting = select(day_facts.c.method, *sums).where(*span.find_facts()).group_by(day_facts.c.method)
        return {
            row.method: {
                kind: [int(getattr(row, name)) for name in counted] for kind, counted in LATENCY_COUNTS.items()
            }
            for row in await self._database.fetch(counting)
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
