"""The log of events. All processes append to it in one order, so that a reader who goes on from a cursor misses none.

A number is given under a lock that is held until the commit: no lower one can appear after a higher was seen.
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
"""PostgreSQL's advisory lock for appending. SQLite has one writer at a time anyway."""


async def lock_log(connection: AsyncConnection) -> None:
    """Lock the log against other appends until this transaction ends."""
    if is_postgres(connection):
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({APPENDING})"))


@dataclass(frozen=True, slots=True)
class Appended:
    """What came of events that were appended."""

    numbers: Mapping[str, int]
    """Of those that are new, by their ids."""
    handed: Sequence[DueDelivery] = ()
    """Deliveries that are ours to make: leased, once this is committed."""
    left: Collection[str] = ()
    """Endpoints with more deliveries in the table."""


@dataclass(frozen=True, slots=True)
class Lease:
    """How many new deliveries an append leases for its own process, which then need not look for them."""

    until: int
    room: Callable[[Endpoint], int]
    """How many deliveries of an endpoint at most."""
    room_in_all: int
    """How many of all endpoints."""


NOTHING_NEW = Appended({})

LOGGED = ("id", "type", "user_id", "method", "digests", "body", "kept_at")
DELIVERY = ("endpoint", "number", "state", "attempts", "round", "due_at", "leased_until")
Delivery = tuple[str, int, str, int, int, int, int]
"""A row of `deliveries`, in the order of these columns."""


async def append(
    connection: AsyncConnection,
    events: Sequence[LoggedEvent],
    now_ms: int,
    *,
    but_for: Collection[str] = (),
    lease: Lease | None = None,
) -> Appended:
    """Append the events that are new, and a delivery for each endpoint that subscribes to one of them.

    Those that are known are left: an event may be told more than once. `but_for` are endpoints that hear nothing of it.
    """
    by_id = {one.id: one for one in events}
    if not by_id:
        return NOTHING_NEW
    await lock_log(connection)
    postgres = is_postgres(connection)
    rows = ((one.id, one.type, one.user_id, one.method, write_digests(one), one.body, now_ms) for one in by_id.values())
    added = insert_rows(log, LOGGED, is_postgres=postgres).on_conflict_do_nothing(index_elements=["id"])
    statement = added.returning(log.c.id, log.c.number)
    found = await connection.execute(statement, as_parameters(LOGGED, rows, is_postgres=postgres))
    numbers: dict[str, int] = dict(found.all())
    wanting = await _find_wanting(connection, [by_id[name] for name in numbers], but_for)
    return await _deliver(
        connection, [(number, by_id[name]) for name, number in numbers.items()], wanting, now_ms, lease
    )


def write_digests(one: LoggedEvent) -> str | None:
    """Write the digests of the people an event names, as JSON; None where it names none."""
    return json.dumps([one.digests, one.named]) if one.digests or one.named else None


async def _find_wanting(
    connection: AsyncConnection, new: Sequence[LoggedEvent], but_for: Collection[str]
) -> Mapping[str, Sequence[Endpoint]]:
    """Find the enabled endpoints of those whom events are of, by their users."""
    wanting: defaultdict[str, list[Endpoint]] = defaultdict(list)
    if users := sorted({one.user_id for one in new}):
        is_theirs = is_one_of(endpoints.c.user_id, users, is_postgres=is_postgres(connection))
        query = select(endpoints).where(is_theirs, endpoints.c.disabled_at.is_(None))
        for row in (await connection.execute(query)).mappings():
            if row["id"] not in but_for:
                wanting[row["user_id"]].append(read_endpoint(row))
    return wanting


async def _deliver(
    connection: AsyncConnection,
    new: Sequence[tuple[int, LoggedEvent]],
    wanting: Mapping[str, Sequence[Endpoint]],
    now_ms: int,
    lease: Lease | None,
) -> Appended:
    rows: list[Delivery] = []
    handed: list[DueDelivery] = []
    left: set[str] = set()
    room: dict[str, int] = {}
    room_in_all = 0 if lease is None else lease.room_in_all
    for number, one in new:
        for endpoint in wanting.get(one.user_id, ()):
            if not wants(endpoint.events, endpoint.methods, one.type, one.method):
                continue
            if lease is not None and endpoint.id not in room:
                room[endpoint.id] = lease.room(endpoint)
            if lease is not None and room[endpoint.id] > 0 and len(handed) < room_in_all:
                room[endpoint.id] -= 1
                handed.append(DueDelivery(endpoint, number, one.id, one.body, 0))
                rows.append(make_delivery(endpoint.id, number, now_ms, lease.until))
            else:
                left.add(endpoint.id)
                rows.append(make_delivery(endpoint.id, number, now_ms))
    await add_deliveries(connection, rows)
    return Appended({one.id: number for number, one in new}, handed, left)


def make_delivery(endpoint: str, number: int, due_at: int, leased_until: int = 0) -> Delivery:
    """Make the row of a delivery that is due."""
    return endpoint, number, WAITING, 0, 0, due_at, leased_until


async def add_deliveries(connection: AsyncConnection, rows: Sequence[Delivery]) -> None:
    """Add deliveries that there are not yet."""
    if rows:
        postgres = is_postgres(connection)
        statement = insert_rows(deliveries, DELIVERY, is_postgres=postgres)
        await connection.execute(statement, as_parameters(DELIVERY, rows, is_postgres=postgres))


async def find_head(connection: AsyncConnection) -> int:
    """Return the highest number there is, or ever was on SQLite; 0 where there is none."""
    return int(await connection.scalar(select(func.max(log.c.number))) or 0)


def insert_ignoring(connection: AsyncConnection, table: Table) -> Insert:
    """Begin an insert that leaves what is there."""
    return insert_into(table, is_postgres=is_postgres(connection)).on_conflict_do_nothing()
