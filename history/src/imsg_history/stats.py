"""Statistics: messages by hour or day, method and status, and failures by their cause."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, ColumnElement, Select, Subquery, Text, bindparam, column, func, select, true
from sqlalchemy.types import TypeEngine

from imsg_channels import METHODS
from imsg_contract.errors import Refusal
from imsg_contract.wire import Status
from imsg_history.database import Database
from imsg_history.ids import find_day, first_id, rfc3339
from imsg_history.ownership import Ownership, find_ownership
from imsg_history.queries import MAX_BUCKETS, StatsQuery
from imsg_history.tables import TESTS, RequestId, day_facts, messages
from imsg_web.callers import Caller

MAX_CAUSES = 100

MAX_HOURS = timedelta(hours=25)
"""The longest span of hours whose sums are read from the messages; others are read from the days that they touch."""

CAUSE = ("method", "provider", "code")
"""The columns that distinguish causes of failures."""

DEFAULT_SPAN = {"hour": timedelta(hours=24), "day": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Span:
    """What statistics count: the users, the times, and the buckets."""

    ownership: Ownership | None
    bucket: str
    starts: tuple[datetime, ...]
    """The beginning of each bucket, and of the one after the last."""
    since: datetime
    until: datetime
    """To the millisecond, as messages are listed: failures are counted between these two."""
    zone: ZoneInfo

    @property
    def is_short(self) -> bool:
        """Whether its sums are read from the messages, not from day facts."""
        return self.bucket == "hour" and self.starts[-1] - self.starts[0] <= MAX_HOURS

    def find_messages(self) -> list[ColumnElement[bool]]:
        """Return the conditions under which a message is in its buckets."""
        return [
            messages.c.method.in_(METHODS),
            messages.c.request >= first_id(self.starts[0]),
            messages.c.request < first_id(self.starts[-1]),
            messages.c.request.not_in(TESTS),
            *(self.ownership.conditions(messages) if self.ownership else ()),
        ]

    def find_facts(self) -> list[ColumnElement[bool]]:
        """Return the conditions under which a day fact is of a day that its buckets touch."""
        first, last = (find_day(at, self.zone) for at in (self.starts[0], self.starts[-1] - timedelta(microseconds=1)))
        owned = self.ownership.is_of_user(day_facts) if self.ownership else ()
        return [day_facts.c.method.in_(METHODS), day_facts.c.day >= first, day_facts.c.day <= last, *owned]


def find_span(query: StatsQuery, caller: Caller, zone: ZoneInfo, now: datetime) -> Span:
    """Return the span that a query asks for. Raises Refusal no_right, wrong_type."""
    ownership = find_ownership(query.username, caller)
    until, since = query.until or now, query.since
    try:
        since = since or until - DEFAULT_SPAN[query.bucket]
        starts = _list_starts(since, until, zone, query.bucket)
    except OverflowError:
        starts = ()
    if len(starts) not in range(1, MAX_BUCKETS + 2):
        raise Refusal(
            "wrong_type",
            field="since",
            why_zh=f"到 until 应分为 1 到 {MAX_BUCKETS} 段，请调整时间或用 bucket=day",
            why_en=f"from it to until there must be 1 to {MAX_BUCKETS} buckets; change the times, or use bucket=day",
        )
    return Span(ownership, query.bucket, starts, since or starts[0], until, zone)


class Statistics:
    """Counts messages, from the indexes alone."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        self.zone = zone
        self._database = database

    async def count(self, span: Span) -> list[dict[str, Any]]:
        """Count the messages of each bucket by method and status. Raises DatabaseUnavailable."""
        buckets = list(zip(span.starts, span.starts[1:], strict=False))
        counts: list[dict[str, Any]] = [{"start": rfc3339(start), "counts": {}} for start, _ in buckets]
        if not buckets:
            return counts
        counting = _select_counts(span.ownership, buckets, is_postgres=self._database.is_postgres)
        for place, method, status, count in await self._read(counting):
            if count:
                counts[place]["counts"].setdefault(method, {})[status] = count
        return counts

    async def count_failures(self, span: Span) -> list[dict[str, Any]]:
        """Count the failures of a span by method, provider and code, the most frequent first, and in each bucket.

        Raises DatabaseUnavailable.
        """
        buckets = list(zip(span.starts, span.starts[1:], strict=False))
        if not buckets:
            return []
        clipped = [(max(start, span.since), min(end, span.until)) for start, end in buckets]
        counts: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(buckets))
        counting = _select_failures(span.ownership, clipped, is_postgres=self._database.is_postgres)
        for place, *cause, count in await self._read(counting):
            counts[tuple(cause)][place] += count
        ordered = sorted(counts.items(), key=lambda failure: (-sum(failure[1]), [text or "" for text in failure[0]]))
        return [
            {**dict(zip(CAUSE, cause, strict=True)), "count": sum(values), "counts": values}
            for cause, values in ordered[:MAX_CAUSES]
        ]

    async def _read(self, statement: Select[Any]) -> list[Any]:
        return list(await self._database.fetch(statement))


def _select_counts(
    ownership: Ownership | None, buckets: Sequence[tuple[datetime, datetime]], *, is_postgres: bool
) -> Select[Any]:
    """Count each bucket of each method and status by one range of the index that lists these messages."""
    bucket = _make_buckets(buckets, is_postgres=is_postgres)
    kinds = list(product(METHODS, [status.value for status in Status]))
    if is_postgres:
        kind = _unnest("kind", kinds, ("method", "status"), Text())
    else:
        kind = _read_json("kind", kinds, ("method", "status"))
    where = [
        messages.c.method == kind.c.method,
        messages.c.status == kind.c.status,
        messages.c.request >= bucket.c.low,
        messages.c.request < bucket.c.high,
        messages.c.request.not_in(TESTS),
    ]
    if ownership is not None:
        where += ownership.conditions(messages)
    count = select(func.count()).select_from(messages).where(*where).correlate(bucket, kind).scalar_subquery()
    return select(bucket.c.place, kind.c.method, kind.c.status, count).select_from(bucket.join(kind, true()))


def _select_failures(
    ownership: Ownership | None, buckets: Sequence[tuple[datetime, datetime]], *, is_postgres: bool
) -> Select[Any]:
    """Count the failures of each bucket by their causes."""
    bucket = _make_buckets(buckets, is_postgres=is_postgres)
    where = [
        messages.c.method.in_(METHODS),
        messages.c.status == Status.FAILED.value,
        messages.c.request >= bucket.c.low,
        messages.c.request < bucket.c.high,
        messages.c.request.not_in(TESTS),
        *(ownership.conditions(messages) if ownership else ()),
    ]
    groups = (bucket.c.place, *(messages.c[name] for name in CAUSE))
    return select(*groups, func.count()).select_from(bucket.join(messages, true())).where(*where).group_by(*groups)


def _make_buckets(buckets: Sequence[tuple[datetime, datetime]], *, is_postgres: bool) -> Subquery:
    limits = [(first_id(start), first_id(end)) for start, end in buckets]
    if is_postgres:
        return _unnest("bucket", limits, ("low", "high"), RequestId())
    return _read_json("bucket", limits, ("low", "high"))


def _unnest(name: str, pairs: Sequence[tuple[str, str]], columns: tuple[str, str], kind: TypeEngine[str]) -> Subquery:
    arrays = (
        bindparam(f"{name}_{column}", [pair[i] for pair in pairs], ARRAY(kind)) for i, column in enumerate(columns)
    )
    pairs_table = (
        func.unnest(*arrays)
        .table_valued(*(column(column_name, kind) for column_name in columns), with_ordinality="place")
        .render_derived()
    )
    return select((pairs_table.c.place - 1).label("place"), *(pairs_table.c[column] for column in columns)).subquery(
        name
    )


def _read_json(name: str, pairs: Sequence[tuple[str, str]], columns: tuple[str, str]) -> Subquery:
    pairs_table = func.json_each(bindparam(name, json.dumps(pairs))).table_valued("key", "value")
    values = (func.json_extract(pairs_table.c.value, f"$[{i}]").label(column) for i, column in enumerate(columns))
    return select(pairs_table.c.key.label("place"), *values).subquery(name)


def _list_starts(since: datetime, until: datetime, zone: ZoneInfo, bucket: str) -> tuple[datetime, ...]:
    """List the beginnings of a zone's hours or days from `since` to `until`, and of the one after; in UTC."""
    local = since.astimezone(zone)
    starts: list[datetime] = []
    if bucket == "hour":
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        start = since.astimezone(UTC) - into
        while start < until and len(starts) <= MAX_BUCKETS:
            starts.append(start)
            start += timedelta(hours=1)
        return (*starts, start) if starts else ()
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    while day.astimezone(UTC) < until and len(starts) <= MAX_BUCKETS:
        starts.append(day.astimezone(UTC))
        day += timedelta(days=1)  # by the calendar: 23 or 25 hours where clocks change
    return (*starts, day.astimezone(UTC)) if starts else ()
