"""The relay of events to callbacks: read from the table once they are committed, published, and then deleted."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric
from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.topology import EVENT, LEG, Lane
from imsg_contract.wire import OPEN, Event, EventKind, Events, Outcome, Outcomes, Status, message_id
from imsg_database.arrays import are_one_of, is_one_of
from imsg_database.engines import is_postgres
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.database import BadRow, Database
from imsg_history.hidden_contacts import is_hidden, replace_contact
from imsg_history.ids import rfc3339
from imsg_history.message_providers import Key, ProviderAndId, find_providers
from imsg_history.tables import events, messages, requests
from imsg_history.waiting import wait_for_any
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

BATCH = 500
"""Events in one publish: some 400 bytes each."""

POLL_S = 2.0
"""How often the table is read for events that another process left."""

GATHER_S = 0.03
"""How long events gather before they are read: each batch is a transaction and a publish."""

FIRST_WAIT_S = 0.2
MAX_WAIT_S = 10.0

ERROR_STATUSES = (Status.FAILED.value, Status.EXPIRED.value, Status.UNCERTAIN.value)
"""Statuses whose code and detail are an error."""

UNKNOWN: Mapping[str, Any] = {"reference": None, "key": None, "test": False, "leg": None, "leg_of": None}
"""What events say of a request that maintenance has deleted."""


class RelayMetrics:
    """Metrics of the relay."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.published = Metric(
            "imsg_history_events_published_total", "Events published for callbacks", registry=registry
        )


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Rows of the table, and what their events say of their requests."""

    rows: Sequence[Row[Any]]
    of: Mapping[str, Mapping[str, Any]]
    """Request → what its events say of it."""
    settled: Mapping[str, Mapping[str, int]]
    """Settled request → the number of its messages in each status."""
    providers: Mapping[Key, ProviderAndId]
    """The providers of messages whose status a bounce has set."""


class EventRelay:
    """Publishes events until it is stopped: at least once each, under one id.

    The relay reads only what is committed: where two histories settle the last messages of a request at the same time,
    the later event finds both. Several processes share the rows of the table.
    """

    def __init__(self, database: Database, broker: Broker, metrics: RelayMetrics) -> None:
        self._database = database
        self._broker = broker
        self._metrics = metrics
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Publish the waiting events at once."""
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until `stopping`."""
        failures, problem = 0, RecurringProblem(log, "events_not_published")
        while not stopping.is_set():
            self._woken.clear()
            try:
                while await self.relay() == BATCH and not stopping.is_set():
                    pass
                failures = 0
            except (PublishRefused, PublishUnknown, DatabaseUnavailable, BadRow) as error:
                failures += 1
                draw = random.random()  # noqa: S311  jitter
                wait_s = back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=MAX_WAIT_S)
                problem.report(error)
                await wait_for_any(stopping, within_s=wait_s)
            else:
                problem.clear()
                await wait_for_any(self._woken, within_s=POLL_S)
                await asyncio.sleep(GATHER_S)

    async def relay(self) -> int:
        """Publish one batch and return its size. Raises PublishRefused, PublishUnknown, DatabaseUnavailable.

        PostgreSQL locks the rows meanwhile. SQLite has one process, so no transaction is open while it publishes.
        """
        if self._database.is_postgres:
            return await self._database.write(self._relay)
        batch = await self._database.read(_read_batch)
        await self._publish(batch)
        if batch.rows:
            await self._database.write(lambda connection: _remove(connection, batch.rows))
        return len(batch.rows)

    async def publish(self, event: Event) -> None:
        """Publish one event that is not in the table. Raises PublishRefused, PublishUnknown."""
        body = Events(events=(event,)).model_dump_json().encode()
        await self._broker.publish(body, self._broker.topology.new(EVENT))
        self._metrics.published.inc()

    async def _relay(self, connection: AsyncConnection) -> int:
        rows = sorted((await connection.execute(_DELETE_OLDEST)).all(), key=lambda row: (row.request, row.n, row.seq))
        await self._publish(await _read_requests(connection, rows))
        return len(rows)

    async def _publish(self, batch: EventBatch) -> None:
        if outcomes := [_make_outcome(row) for row in batch.rows if row.events & EventKind.LEG]:
            body = Outcomes(outcomes=tuple(outcomes)).encode()
            await self._broker.publish(body, self._broker.topology.new(LEG))
        published = make_events(batch)
        if not published:
            return
        body = Events(events=tuple(published)).model_dump_json().encode()
        await self._broker.publish(body, self._broker.topology.new(EVENT))
        self._metrics.published.inc(len(published))


def make_events(batch: EventBatch) -> list[Event]:
    """Make the events of the rows, and one for each request that they settle."""
    published: list[Event] = []
    last: dict[str, Row[Any]] = {}
    for row in batch.rows:
        if row.events & EventKind.MESSAGE:
            sent_by = batch.providers.get((row.request, row.n), (row.provider, row.provider_id))
            published.append(_make_message_event(row, batch.of.get(row.request, UNKNOWN), sent_by))
        name = batch.of.get(row.request, UNKNOWN)["leg_of"] or row.request
        if name in batch.settled:
            known = last.get(name)
            last[name] = row if known is None or row.at > known.at else known
    published += [
        _make_request_event(name, row, batch.of.get(name, UNKNOWN), batch.settled[name]) for name, row in last.items()
    ]
    return published


def _make_outcome(row: Row[Any]) -> Outcome:
    return Outcome(
        request=row.request, n=row.n, attempt=row.attempts, status=Status(row.status), code=row.code, at=row.at
    )


def _make_message_event(row: Row[Any], of_request: Mapping[str, Any], sent_by: ProviderAndId) -> Event:
    provider, provider_id = sent_by
    detail = replace_contact(row.address, row.written, row.detail) if is_hidden(row) else row.detail
    has_error = row.status in ERROR_STATUSES and (row.code or row.detail)
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
            **of_request,
            "reference": row.reference or of_request["reference"],
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


def _make_request_event(name: str, row: Row[Any], of_request: Mapping[str, Any], counts: Mapping[str, int]) -> Event:
    return Event(
        id=f"evt_{name}-settled",
        type="request.settled",
        at=row.at,
        username=row.username,
        user_id=row.user_id,
        method=row.method,
        data={
            "request": name,
            **of_request,
            "method": row.method,
            "settled_at": rfc3339(row.at),
            "count": sum(counts.values()),
            "counts": dict(counts),
        },
    )


_LEGS = requests.alias("legs")
_KEY = events.primary_key.columns.values()
_OLDEST = (
    select(*events.primary_key.columns)
    .order_by(*events.primary_key.columns)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
    .cte("oldest")
)
_DELETE_OLDEST = (
    delete(events)
    .where(*(column == _OLDEST.c[column.name] for column in events.primary_key.columns))
    .returning(*events.columns)
)
"""For PostgreSQL: if the events can't be published, the transaction is rolled back."""


async def _read_batch(connection: AsyncConnection) -> EventBatch:
    query = select(events).order_by(*events.primary_key.columns).limit(BATCH)
    return await _read_requests(connection, (await connection.execute(query)).all())


async def _read_requests(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> EventBatch:
    if not rows:
        return EventBatch((), {}, {}, {})
    is_among = _is_among(connection, {row.request for row in rows})
    named = ("request", "reference", "key", "lane", "leg", "leg_of")
    columns = [requests.c[name] for name in named]
    of = {
        row.request: {
            "reference": row.reference,
            "key": row.key,
            "test": row.lane == Lane.TEST,
            "leg": row.leg,
            "leg_of": row.leg_of,
        }
        for row in await connection.execute(select(*columns).where(is_among))
    }
    watched = sorted(
        {of.get(row.request, UNKNOWN)["leg_of"] or row.request for row in rows if row.events & EventKind.REQUEST}
    )
    settled = await _count_settled(connection, watched) if watched else {}
    return EventBatch(rows, of, settled, await find_providers(connection, rows))


def _is_among(connection: AsyncConnection, names: Collection[str]) -> ColumnElement[bool]:
    return is_one_of(requests.c.request, sorted(names), is_postgres=is_postgres(connection))


async def _count_settled(connection: AsyncConnection, names: Collection[str]) -> dict[str, Counter[str]]:
    """Count the messages of the settled ones of these requests by status."""
    is_open = exists().where(messages.c.request == requests.c.request, messages.c.status.in_(OPEN))
    is_leg_open = exists().where(
        messages.c.request.in_(select(_LEGS.c.request).where(_LEGS.c.leg_of == requests.c.request)),
        messages.c.status.in_(OPEN),
    )
    # Of a request with a fallback the first leg says when all are settled.
    is_whole = or_(requests.c.leg.is_(None), and_(requests.c.leg == 1, requests.c.open_people == 0, ~is_leg_open))
    settled = select(requests.c.request).where(_is_among(connection, names), ~is_open, is_whole)
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
