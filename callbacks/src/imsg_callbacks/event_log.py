"""The log of events: appended to in one order by everybody, so that whoever reads on misses nothing.

A number is given under a lock that is held until the commit: no lower one can appear after a higher was seen.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, func, insert, select, text

from imsg_callbacks.matching import wants
from imsg_callbacks.migrations import STEPS
from imsg_callbacks.outcomes import Due, Endpoint, Logged, read_endpoint
from imsg_callbacks.tables import WAITING, deliveries, endpoints, log
from imsg_database.awaiting import AsyncConnection
from imsg_database.inserts import Insert, insert_into

APPENDING = STEPS.lock + 1
"""PostgreSQL's advisory lock of whoever appends; SQLite's writers are alone anyway."""


async def keep_others_out(connection: AsyncConnection) -> None:
    """Let nobody else append until this transaction ends."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({APPENDING})"))


@dataclass(frozen=True, slots=True)
class Appended:
    """What came of events that were appended."""

    numbers: Mapping[str, int]
    """Of those that are new, by their ids."""
    handed: Sequence[Due] = ()
    """Deliveries that are ours to make: leased, once this is committed."""
    left: Collection[str] = ()
    """Endpoints for which more stands in the table."""


@dataclass(frozen=True, slots=True)
class Lease:
    """How much of what is new is taken at once by whoever appends it, so that nobody has to look for it."""

    until: int
    room: Callable[[Endpoint], int]
    """How many deliveries of an endpoint at most."""


NOTHING_NEW = Appended({})


async def append(
    connection: AsyncConnection,
    events: Sequence[Logged],
    now_ms: int,
    *,
    but_for: Collection[str] = (),
    lease: Lease | None = None,
) -> Appended:
    """Append events that are not in the log yet, and a delivery for each endpoint that wants one of them.

    Those that are known are left: an event may be told more than once. `but_for` are endpoints that hear nothing of it.
    """
    by_id = {one.id: one for one in events}
    if not by_id:
        return NOTHING_NEW
    await keep_others_out(connection)
    is_postgres = connection.dialect.name == "postgresql"
    statement = insert_into(log, is_postgres=is_postgres).on_conflict_do_nothing(index_elements=["id"])
    rows = [
        {
            "id": one.id,
            "type": one.type,
            "user_id": one.user_id,
            "method": one.method,
            "digests": json.dumps(one.digests) if one.digests else None,
            "body": one.body,
            "kept_at": now_ms,
        }
        for one in by_id.values()
    ]
    found = await connection.execute(statement.returning(log.c.id, log.c.number), rows)
    numbers: dict[str, int] = dict(found.all())
    wanting = await _find_wanting(connection, [by_id[name] for name in numbers], but_for)
    return await _deliver(
        connection, [(number, by_id[name]) for name, number in numbers.items()], wanting, now_ms, lease
    )


async def _find_wanting(
    connection: AsyncConnection, new: Sequence[Logged], but_for: Collection[str]
) -> Mapping[str, Sequence[Endpoint]]:
    """Find the enabled endpoints of those whom events are of, by their users."""
    wanting: defaultdict[str, list[Endpoint]] = defaultdict(list)
    if users := sorted({one.user_id for one in new}):
        query = select(endpoints).where(endpoints.c.user_id.in_(users), endpoints.c.disabled_at.is_(None))
        for row in (await connection.execute(query)).mappings():
            if row["id"] not in but_for:
                wanting[row["user_id"]].append(read_endpoint(row))
    return wanting


async def _deliver(
    connection: AsyncConnection,
    new: Sequence[tuple[int, Logged]],
    wanting: Mapping[str, Sequence[Endpoint]],
    now_ms: int,
    lease: Lease | None,
) -> Appended:
    rows: list[dict[str, object]] = []
    handed: list[Due] = []
    left: set[str] = set()
    room: dict[str, int] = {}
    for number, one in new:
        for endpoint in wanting.get(one.user_id, ()):
            if not wants(endpoint.events, endpoint.methods, one.type, one.method):
                continue
            if lease is not None and endpoint.id not in room:
                room[endpoint.id] = lease.room(endpoint)
            if lease is not None and room[endpoint.id] > 0:
                room[endpoint.id] -= 1
                handed.append(Due(endpoint, number, one.id, one.body, 0))
                rows.append(make_delivery(endpoint.id, number, now_ms, lease.until))
            else:
                left.add(endpoint.id)
                rows.append(make_delivery(endpoint.id, number, now_ms))
    if rows:
        await connection.execute(insert(deliveries), rows)
    return Appended({one.id: number for number, one in new}, handed, left)


def make_delivery(endpoint: str, number: int, due_at: int, leased_until: int = 0) -> dict[str, object]:
    """Make the row of a delivery that is due."""
    return {
        "endpoint": endpoint,
        "number": number,
        "state": WAITING,
        "attempts": 0,
        "round": 0,
        "due_at": due_at,
        "leased_until": leased_until,
    }


async def find_head(connection: AsyncConnection) -> int:
    """Return the highest number there is, or ever was on SQLite; 0 where there is none."""
    return int(await connection.scalar(select(func.max(log.c.number))) or 0)


def insert_ignoring(connection: AsyncConnection, table: Table) -> Insert:
    """Begin an insert that leaves what is there."""
    return insert_into(table, is_postgres=connection.dialect.name == "postgresql").on_conflict_do_nothing()
