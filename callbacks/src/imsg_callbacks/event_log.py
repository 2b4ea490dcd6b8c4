"""Appends events to the log, and their deliveries to the table.

Events are numbered under a lock that is held until the commit. A reader that has seen a number therefore misses no
lower one.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_callbacks.matching import wants
from imsg_callbacks.migrations import MIGRATIONS
from imsg_callbacks.records import DueDelivery, Endpoint, LoggedEvent, read_endpoint
from imsg_callbacks.tables import WAITING, deliveries, endpoints, log
from imsg_database.arrays import as_parameters, insert_rows, is_one_of
from imsg_database.engines import is_postgres
from imsg_database.inserts import Insert, insert_into

APPENDING = MIGRATIONS.lock + 1
"""The PostgreSQL advisory lock for appends. SQLite allows one writer at a time anyway."""


async def lock_log(connection: AsyncConnection) -> None:
    """Lock the log against other appends until this transaction ends."""
    if is_postgres(connection):
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({APPENDING})"))


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The result of `append`."""

    numbers: Mapping[str, int]
    """Id → number of each new event."""
    leased: Sequence[DueDelivery] = ()
    """Deliveries leased for this process, once the transaction is committed."""
    remaining: Collection[str] = ()
    """Endpoints with due deliveries that are not leased."""


@dataclass(frozen=True, slots=True)
class Lease:
    """How many new deliveries an append leases for its own process."""

    until: int
    """Unix milliseconds."""
    capacity_of: Callable[[Endpoint], int]
    """Returns the most deliveries of one endpoint."""
    total_capacity: int
    """The most deliveries of all endpoints."""


NOTHING_APPENDED = AppendResult({})

EVENT_COLUMNS = ("id", "type", "user_id", "method", "digests", "body", "kept_at")
DELIVERY_COLUMNS = ("endpoint", "number", "state", "attempts", "round", "due_at", "leased_until")
DeliveryRow = tuple[str, int, str, int, int, int, int]
"""A row of `deliveries`, in the order of `DELIVERY_COLUMNS`."""


async def append(
    connection: AsyncConnection,
    events: Sequence[LoggedEvent],
    now_ms: int,
    *,
    excluding: Collection[str] = (),
    lease: Lease | None = None,
) -> AppendResult:
    """Append new events, and a delivery for each enabled endpoint that subscribes to one of them.

    Events whose ids are in the log are ignored. The endpoints `excluding` get no delivery.
    """
    by_id = {event.id: event for event in events}
    if not by_id:
        return NOTHING_APPENDED
    await lock_log(connection)
    postgres = is_postgres(connection)
    rows = (
        (event.id, event.type, event.user_id, event.method, write_digests(event), event.body, now_ms)
        for event in by_id.values()
    )
    insertion = insert_rows(log, EVENT_COLUMNS, is_postgres=postgres).on_conflict_do_nothing(index_elements=["id"])
    statement = insertion.returning(log.c.id, log.c.number)
    added = await connection.execute(statement, as_parameters(EVENT_COLUMNS, rows, is_postgres=postgres))
    numbers: dict[str, int] = dict(added.all())
    subscribers = await _find_enabled(connection, [by_id[name] for name in numbers], excluding)
    return await _deliver(
        connection, [(number, by_id[name]) for name, number in numbers.items()], subscribers, now_ms, lease
    )


def write_digests(event: LoggedEvent) -> str | None:
    """Write the digests of the people an event names, as JSON; None where it names none."""
    return json.dumps([event.digests, event.named]) if event.digests or event.named else None


async def _find_enabled(
    connection: AsyncConnection, new: Sequence[LoggedEvent], excluding: Collection[str]
) -> Mapping[str, Sequence[Endpoint]]:
    """Return the enabled endpoints of the events' users, by user."""
    subscribers: defaultdict[str, list[Endpoint]] = defaultdict(list)
    if users := sorted({event.user_id for event in new}):
        is_theirs = is_one_of(endpoints.c.user_id, users, is_postgres=is_postgres(connection))
        query = select(endpoints).where(is_theirs, endpoints.c.disabled_at.is_(None))
        for row in (await connection.execute(query)).mappings():
            if row["id"] not in excluding:
                subscribers[row["user_id"]].append(read_endpoint(row))
    return subscribers


async def _deliver(
    connection: AsyncConnection,
    new: Sequence[tuple[int, LoggedEvent]],
    subscribers: Mapping[str, Sequence[Endpoint]],
    now_ms: int,
    lease: Lease | None,
) -> AppendResult:
    rows: list[DeliveryRow] = []
    leased: list[DueDelivery] = []
    remaining: set[str] = set()
    capacity: dict[str, int] = {}
    total_capacity = 0 if lease is None else lease.total_capacity
    for number, event in new:
        for endpoint in subscribers.get(event.user_id, ()):
            if not wants(endpoint.events, endpoint.methods, event.type, event.method):
                continue
            if lease is not None and endpoint.id not in capacity:
                capacity[endpoint.id] = lease.capacity_of(endpoint)
            if lease is not None and capacity[endpoint.id] > 0 and len(leased) < total_capacity:
                capacity[endpoint.id] -= 1
                leased.append(DueDelivery(endpoint, number, event.id, event.body, 0))
                rows.append(make_delivery(endpoint.id, number, now_ms, lease.until))
            else:
                remaining.add(endpoint.id)
                rows.append(make_delivery(endpoint.id, number, now_ms))
    await add_deliveries(connection, rows)
    return AppendResult({event.id: number for number, event in new}, leased, remaining)


def make_delivery(endpoint: str, number: int, due_at: int, leased_until: int = 0) -> DeliveryRow:
    """Make the row of a new delivery."""
    return endpoint, number, WAITING, 0, 0, due_at, leased_until


async def add_deliveries(connection: AsyncConnection, rows: Sequence[DeliveryRow]) -> None:
    """Insert deliveries."""
    if rows:
        postgres = is_postgres(connection)
        statement = insert_rows(deliveries, DELIVERY_COLUMNS, is_postgres=postgres)
        await connection.execute(statement, as_parameters(DELIVERY_COLUMNS, rows, is_postgres=postgres))


async def find_head(connection: AsyncConnection) -> int:
    """Return the highest event number in the log; 0 if it is empty."""
    return int(await connection.scalar(select(func.max(log.c.number))) or 0)


def insert_ignoring(connection: AsyncConnection, table: Table) -> Insert:
    """Begin an insert that ignores rows whose key exists."""
    return insert_into(table, is_postgres=is_postgres(connection)).on_conflict_do_nothing()
