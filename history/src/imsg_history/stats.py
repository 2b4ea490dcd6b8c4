"""Counting messages by hour or day, method and status: GET /api/stats."""

import json
from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, Select, Subquery, Text, bindparam, column, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from imsg_channels import METHODS
from imsg_contract.errors import Refusal
from imsg_contract.wire import Status
from imsg_history.database import Database
from imsg_history.filters import read_time
from imsg_history.ids import first_id, rfc3339
from imsg_history.ownership import Ownership, conditions, whose
from imsg_history.records import RENAMED_CODES
from imsg_history.tables import RequestId, messages
from imsg_web.callers import Caller

MOST_BUCKETS = 1_000
MOST_CAUSES = 100

DEFAULT_SPAN = {"hour": timedelta(hours=24), "day": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Span:
    """What is counted: whose messages, from when to when, in which pieces."""

    whose: Ownership | None
    bucket: str
    starts: tuple[datetime, ...]
    """The beginnings of the pieces, and of the one after the last."""
    since: datetime
    until: datetime
    """What was asked for, to the millisecond: causes are counted between them, as messages are listed."""


def read_span(given: Mapping[str, str], caller: Caller, zone: ZoneInfo, now: datetime) -> Span:
    """Read the parameters of GET /api/stats. Raises Refusal."""
    meant = whose(given.get("username"), caller)
    bucket = given.get("bucket", "day")
    if bucket not in DEFAULT_SPAN:
        raise Refusal("wrong_type", field="bucket", why_zh="应为 hour 或 day", why_en="it must be hour or day")
    since, until = read_time(given, "since"), read_time(given, "until")
    try:
        until = until or now
        since = since or until - DEFAULT_SPAN[bucket]
        starts = _starts(since, until, zone, bucket)
    except OverflowError:
        starts = ()
    if len(starts) not in range(1, MOST_BUCKETS + 2):
        raise Refusal(
            "wrong_type",
            field="since",
            why_zh=f"到 until 应分为 1 到 {MOST_BUCKETS} 段，请调整时间或用 bucket=day",
            why_en=f"from it to until there must be 1 to {MOST_BUCKETS} buckets; change the times, or use bucket=day",
        )
    return Span(meant, bucket, starts, since or starts[0], until or now)


class Counter:
    """Counts from the indexes alone."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        self.zone = zone
        self._database = database

    async def count(self, span: Span) -> list[dict[str, Any]]:
        """Count the messages of every piece, by method and status. Raises DatabaseUnavailable."""
        pieces = list(zip(span.starts, span.starts[1:], strict=False))
        counts: list[dict[str, Any]] = [{"start": rfc3339(start), "counts": {}} for start, _ in pieces]
        if not pieces:
            return counts

        counting = _select_counts(span.whose, pieces, is_postgres=self._database.is_postgres)

        async def work(connection: AsyncConnection) -> list[Any]:
            return list(await connection.execute(counting, span.whose.values if span.whose else {}))

        for place, method, status, count in await self._database.read(work):
            if count:
                counts[place]["counts"].setdefault(method, {})[status] = count
        return counts

    async def count_causes(self, span: Span) -> list[dict[str, Any]]:
        """Count the failures of a span by method, provider and code, the most frequent first.

        Raises DatabaseUnavailable.
        """
        cause = (messages.c.method, messages.c.provider, messages.c.code)
        where = [
            messages.c.method.in_(METHODS),
            messages.c.status == Status.FAILED.value,
            messages.c.request >= first_id(span.since),
            messages.c.request < first_id(span.until),
        ]
        if span.whose is not None:
            where += conditions(messages, by_id=span.whose.user_id is not None)
        counting = select(*cause, func.count().label("count")).where(*where).group_by(*cause)

        async def work(connection: AsyncConnection) -> list[Any]:
            return list(await connection.execute(counting, span.whose.values if span.whose else {}))

        counted: Tally[tuple[str, str | None, str | None]] = Tally()
        for row in await self._database.read(work):
            counted[row.method, row.provider, RENAMED_CODES.get(row.code, row.code)] += row.count
        return [
            {"method": method, "provider": provider, "code": code, "count": count}
            for (method, provider, code), count in counted.most_common(MOST_CAUSES)
        ]


def _select_counts(
    whose: Ownership | None, pieces: Sequence[tuple[datetime, datetime]], *, is_postgres: bool
) -> Select[Any]:
    """Count every piece of every kind by a range of the index that lists that kind."""
    limits = [(first_id(start), first_id(end)) for start, end in pieces]
    kinds = list(product(METHODS, [status.value for status in Status]))
    if is_postgres:
        piece = _arrays("piece", limits, ("low", "high"), RequestId())
        kind = _arrays("kind", kinds, ("method", "status"), Text())
    else:
        piece = _json("piece", limits, ("low", "high"))
        kind = _json("kind", kinds, ("method", "status"))
    where = [
        messages.c.method == kind.c.method,
        messages.c.status == kind.c.status,
        messages.c.request >= piece.c.low,
        messages.c.request < piece.c.high,
    ]
    if whose is not None:
        where += conditions(messages, by_id=whose.user_id is not None)
    count = select(func.count()).select_from(messages).where(*where).correlate(piece, kind).scalar_subquery()
    return select(piece.c.place, kind.c.method, kind.c.status, count).select_from(piece.join(kind, true()))


def _arrays(name: str, pairs: Sequence[tuple[str, str]], columns: tuple[str, str], kind: TypeEngine[str]) -> Subquery:
    arrays = (
        bindparam(f"{name}_{column}", [pair[i] for pair in pairs], ARRAY(kind)) for i, column in enumerate(columns)
    )
    found = (
        func.unnest(*arrays)
        .table_valued(*(column(one, kind) for one in columns), with_ordinality="place")
        .render_derived()
    )
    return select((found.c.place - 1).label("place"), *(found.c[one] for one in columns)).subquery(name)


def _json(name: str, pairs: Sequence[tuple[str, str]], columns: tuple[str, str]) -> Subquery:
    found = func.json_each(bindparam(name, json.dumps(pairs))).table_valued("key", "value")
    values = (func.json_extract(found.c.value, f"$[{i}]").label(one) for i, one in enumerate(columns))
    return select(found.c.key.label("place"), *values).subquery(name)


def _starts(since: datetime, until: datetime, zone: ZoneInfo, bucket: str) -> tuple[datetime, ...]:
    """List the beginnings of hours or days of a zone, from the one that holds `since` on, and `until`'s end; in UTC."""
    local = since.astimezone(zone)
    starts: list[datetime] = []
    if bucket == "hour":
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        start = since.astimezone(UTC) - into
        while start < until and len(starts) <= MOST_BUCKETS:
            starts.append(start)
            start += timedelta(hours=1)
        return (*starts, start) if starts else ()
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    while day.astimezone(UTC) < until and len(starts) <= MOST_BUCKETS:
        starts.append(day.astimezone(UTC))
        day += timedelta(days=1)  # by the calendar: 23 or 25 hours where clocks change
    return (*starts, day.astimezone(UTC)) if starts else ()
