"""The legs of requests with a fallback: how far their people are, and what is shown of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, and_, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import EventKind, Progress
from imsg_database.inserts import insert_into
from imsg_history.records import RequestRow
from imsg_history.tables import events, messages, requests

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
    settled; return how many there are. `columns` are those of an event.
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


async def list_legs(connection: AsyncConnection, first: Row[Any]) -> Sequence[tuple[str, str, bool]]:
    """Return id, method and whether it has begun of each leg of a request, in order; none without a fallback."""
    if first.legs is None:
        return ()
    begun = (await connection.execute(select(requests.c.request).where(requests.c.leg_of == first.request))).scalars()
    known = set(begun)
    return [(name, method, name in known) for name, method in json.loads(first.legs)]
