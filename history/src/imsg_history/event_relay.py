"""Events on their way to callbacks: taken from the table once they are committed, published, and then removed."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric
from sqlalchemy import ColumnElement, Row, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.topology import EVENT
from imsg_contract.wire import Event, EventKind, Events, Status, message_id
from imsg_database.arrays import are_one_of, is_one_of
from imsg_database.engines import is_postgres
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.database import BadRow, Database
from imsg_history.hidden_contacts import is_hidden, without
from imsg_history.ids import rfc3339
from imsg_history.message_providers import Key, ProviderAndId, find_providers
from imsg_history.tables import events, messages, requests
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import Recurring, logger

log = logger(__name__)

BATCH = 500
"""Events in one publish: some 400 bytes each."""

LOOK_AGAIN_S = 2.0
"""How often events are looked for that another process left."""

GATHER_S = 0.03
"""How long events are gathered before they are taken: each batch is a transaction and a publish."""

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0

TROUBLED = (Status.FAILED.value, Status.EXPIRED.value, Status.UNCERTAIN.value)
"""Statuses whose code and detail are an error."""

UNSETTLED = (Status.QUEUED.value, Status.RETRYING.value)


class Counts:
    """What the relay tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.told = Metric("imsg_history_events_told_total", "Events published for callbacks", registry=registry)


@dataclass(frozen=True, slots=True)
class Taken:
    """Some events of the table, and what of their requests is told with them."""

    rows: Sequence[Row[Any]]
    references: Mapping[str, str]
    settled: Mapping[str, Mapping[str, int]]
    """Request of which nothing is open any more → how many of it stand where."""
    providers: Mapping[Key, ProviderAndId]
    """Who took the messages that a receipt has moved which does not say it."""


class EventRelay:
    """Publishes events until it is stopped: at least once each, under one id, also over crashes and a broker away.

    Only what is committed is seen here, so that of two recorders that settle the last messages of a request at the
    same time, whoever takes the later event finds both. Several processes share the table by rows.
    """

    def __init__(self, database: Database, broker: Broker, counts: Counts) -> None:
        self._database = database
        self._broker = broker
        self._counts = counts
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Say that there are events."""
        self._news.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until `stopping`."""
        failures, trouble = 0, Recurring(log, "events_not_told")
        while not stopping.is_set():
            self._news.clear()
            try:
                while await self.relay() == BATCH and not stopping.is_set():
                    pass
                failures = 0
            except (PublishRefused, PublishUnknown, DatabaseUnavailable, BadRow) as error:
                failures += 1
                draw = random.random()  # noqa: S311  jitter
                wait_s = back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S)
                trouble.note(error)
                await _rest(stopping, wait_s)
            else:
                trouble.clear()
                await _rest(self._news, LOOK_AGAIN_S)
                await asyncio.sleep(GATHER_S)

    async def relay(self) -> int:
        """Publish one batch and return its size. Raises PublishRefused, PublishUnknown, DatabaseUnavailable.

        PostgreSQL keeps the rows from others meanwhile; SQLite has one process, whose recorder would wait.
        """
        if self._database.is_postgres:
            return await self._database.write(self._relay)
        taken = await self._database.read(_take)
        await self._publish(taken)
        if taken.rows:
            await self._database.write(lambda connection: _remove(connection, taken.rows))
        return len(taken.rows)

    async def publish(self, event: Event) -> None:
        """Publish one event that stands in no table. Raises PublishRefused, PublishUnknown."""
        body = Events(events=(event,)).model_dump_json().encode()
        await self._broker.publish(body, self._broker.topology.new(EVENT))
        self._counts.told.inc()

    async def _relay(self, connection: AsyncConnection) -> int:
        rows = sorted((await connection.execute(_TAKE_OUT)).all(), key=lambda row: (row.request, row.n, row.seq))
        await self._publish(await _describe(connection, rows))
        return len(rows)

    async def _publish(self, taken: Taken) -> None:
        told = write(taken)
        if not told:
            return
        body = Events(events=tuple(told)).model_dump_json().encode()
        await self._broker.publish(body, self._broker.topology.new(EVENT))
        self._counts.told.inc(len(told))


def write(taken: Taken) -> list[Event]:
    """Write the rows as events, and one for each request that has settled with them."""
    told: list[Event] = []
    last: dict[str, Row[Any]] = {}
    for row in taken.rows:
        if row.events & EventKind.MESSAGE:
            sent_by = taken.providers.get((row.request, row.n), (row.provider, row.provider_id))
            told.append(_write_message(row, taken.references.get(row.request), sent_by))
        if row.request in taken.settled:
            known = last.get(row.request)
            last[row.request] = row if known is None or row.at > known.at else known
    told += [_write_request(row, taken.references.get(name), taken.settled[name]) for name, row in last.items()]
    return told


def _write_message(row: Row[Any], reference: str | None, sent_by: ProviderAndId) -> Event:
    provider, provider_id = sent_by
    detail = without(row.address, row.written, row.detail) if is_hidden(row) else row.detail
    has_error = row.status in TROUBLED and (row.code or row.detail)
    error = {"code": row.code, "detail": detail} if has_error else None
    return Event(
        id=f"evt_{message_id(row.request, row.n)}-{row.seq}",
        type=f"message.{row.status}",
        at=row.at,
        username=row.username,
        user_id=row.user_id,
        method=row.method,
        address=row.address,
        data={
            "id": message_id(row.request, row.n),
            "request": row.request,
            "reference": reference,
            "to": row.written,
            "method": row.method,
            "status": row.status,
            "seq": row.seq,
            "attempts": row.attempts,
            "provider": provider,
            "provider_id": provider_id,
            "error": error,
        },
    )


def _write_request(row: Row[Any], reference: str | None, counts: Mapping[str, int]) -> Event:
    return Event(
        id=f"evt_{row.request}-settled",
        type="request.settled",
        at=row.at,
        username=row.username,
        user_id=row.user_id,
        method=row.method,
        data={
            "request": row.request,
            "reference": reference,
            "method": row.method,
            "settled_at": rfc3339(row.at),
            "count": sum(counts.values()),
            "counts": dict(counts),
        },
    )


_KEY = events.primary_key.columns.values()
_OLDEST = (
    select(*events.primary_key.columns)
    .order_by(*events.primary_key.columns)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
    .cte("oldest")
)
_TAKE_OUT = (
    delete(events)
    .where(*(column == _OLDEST.c[column.name] for column in events.primary_key.columns))
    .returning(*events.columns)
)
"""PostgreSQL's: taken and removed in one step; where they can't be published the transaction brings them back."""


async def _take(connection: AsyncConnection) -> Taken:
    query = select(events).order_by(*events.primary_key.columns).limit(BATCH)
    return await _describe(connection, (await connection.execute(query)).all())


async def _describe(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> Taken:
    if not rows:
        return Taken((), {}, {}, {})
    is_among = _is_among(connection, {row.request for row in rows})
    found = await connection.execute(
        select(requests.c.request, requests.c.reference).where(is_among, requests.c.reference.is_not(None))
    )
    references = {row.request: row.reference for row in found}
    watched = sorted({row.request for row in rows if row.events & EventKind.REQUEST})
    settled = await _count_settled(connection, watched) if watched else {}
    return Taken(rows, references, settled, await find_providers(connection, rows))


def _is_among(connection: AsyncConnection, names: Collection[str]) -> ColumnElement[bool]:
    return is_one_of(requests.c.request, sorted(names), is_postgres=is_postgres(connection))


async def _count_settled(connection: AsyncConnection, names: Collection[str]) -> dict[str, Counter[str]]:
    """Count the messages of those requests of which nothing is open; an open one ends the look at its first."""
    is_open = exists().where(messages.c.request == requests.c.request, messages.c.status.in_(UNSETTLED))
    settled = select(requests.c.request).where(_is_among(connection, names), ~is_open)
    query = (
        select(messages.c.request, messages.c.status, func.count().label("count"))
        .where(messages.c.request.in_(settled))
        .group_by(messages.c.request, messages.c.status)
    )
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, status, count in await connection.execute(query):
        counted[name][status] += count
    return dict(counted)


async def _remove(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> None:
    keys = [(row.request, row.n, row.seq) for row in rows]
    await connection.execute(delete(events).where(are_one_of(_KEY, keys, is_postgres=is_postgres(connection))))


async def _rest(until: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await until.wait()
