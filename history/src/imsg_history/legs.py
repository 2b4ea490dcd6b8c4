"""The legs of requests with a fallback: how far their people are, and what is shown of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, exists, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import EventKind, Progress
from imsg_database.arrays import is_one_of
from imsg_database.inserts import insert_into
from imsg_history.ids import time_of
from imsg_history.records import RequestRow
from imsg_history.tables import early_progress, events, messages, requests

WAITING, UNUSED = "waiting", "unused"
"""States of a leg that has not begun: it still may, or never will."""


async def write_legs(connection: AsyncConnection, added: Iterable[RequestRow]) -> None:
    """Write the legs of requests whose first leg was recorded before: scheduler hands it over without the others."""
    for row in added:
        if row.legs is not None:
            is_bare = and_(requests.c.request == row.request, requests.c.legs.is_(None))
            await connection.execute(update(requests).where(is_bare).values(legs=row.legs))


async def write_progress(
    connection: AsyncConnection, progress: Mapping[str, Progress], columns: Sequence[str], *, is_postgres: bool
) -> int:
    """Write how many people requests have reached, where it is newer than what is there.

    Where no person is open any more, an event of the request's first message makes the relay look whether all is
    settled; return how many there are. `columns` are those of an event. The counts of a request that is not recorded
    yet are kept for `write_early_progress`.
    """
    added = 0
    for name, of_people in sorted(progress.items()):
        is_newer = or_(
            requests.c.open_people.is_(None),
            requests.c.open_people > of_people.open,
            and_(requests.c.open_people == of_people.open, requests.c.reached < of_people.reached),
        )
        counts = {"reached": of_people.reached, "not_reached": of_people.not_reached, "open_people": of_people.open}
        changed = await connection.execute(update(requests).where(requests.c.request == name, is_newer).values(counts))
        if not changed.rowcount and not await connection.scalar(select(exists().where(requests.c.request == name))):
            insert = insert_into(early_progress, is_postgres=is_postgres).values(request=name, **counts)
            await connection.execute(insert.on_conflict_do_nothing())
        if not changed.rowcount or of_people.open:
            continue
        wants_end = messages.c.events.bitwise_and(literal(int(EventKind.REQUEST))) > 0
        last = (
            select(*(messages.c[column] for column in columns))
            .where(messages.c.request == name, messages.c.username.is_not(None), wants_end)
            .order_by(messages.c.n)
            .limit(1)
        )
        insert = insert_into(events, is_postgres=is_postgres).from_select(list(columns), last)
        added += (await connection.execute(insert.on_conflict_do_nothing())).rowcount
    return added


async def has_early(connection: AsyncConnection, names: Sequence[str], *, is_postgres: bool) -> bool:
    """Return whether counts arrived before one of these requests, which is recorded by now."""
    return bool(await connection.scalar(select(exists().where(_are_early(names, is_postgres=is_postgres)))))


async def write_early_progress(
    connection: AsyncConnection, names: Sequence[str], columns: Sequence[str], *, is_postgres: bool
) -> int:
    """Write the counts that arrived before their request; return the number of events, as `write_progress` does.

    It runs after the batch with the request or the counts is committed: of two histories that wrote them at the same
    time, the one that commits last sees both.
    """
    removed = delete(early_progress).where(_are_early(names, is_postgres=is_postgres)).returning(early_progress)
    newest: dict[str, Progress] = {}
    for request, reached, not_reached, open_people in await connection.execute(removed):
        counts = {"reached": reached, "not_reached": not_reached, "open": open_people}
        of_people = Progress(request=request, at=time_of(request), **counts)
        if request not in newest or newest[request].rank < of_people.rank:
            newest[request] = of_people
    return await write_progress(connection, newest, columns, is_postgres=is_postgres)


def _are_early(names: Sequence[str], *, is_postgres: bool) -> ColumnElement[bool]:
    is_recorded = exists().where(requests.c.request == early_progress.c.request)
    return and_(is_one_of(early_progress.c.request, names, is_postgres=is_postgres), is_recorded)


async def list_legs(connection: AsyncConnection, first: Row[Any]) -> Sequence[tuple[str, str, bool]]:
    """Return id, method and whether it has begun of each leg of a request, in order; none without a fallback."""
    if first.legs is None:
        return ()
    begun = (await connection.execute(select(requests.c.request).where(requests.c.leg_of == first.request))).scalars()
    known = set(begun)
    return [(name, method, name in known) for name, method in json.loads(first.legs)]
