"""Messages that have not settled, as scheduler cancels them."""

import base64
from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_contract.wire import OPEN
from imsg_history.database import Database
from imsg_history.ids import Name
from imsg_history.ownership import find_ownership, may_see
from imsg_history.tables import jobs, messages, requests
from imsg_web.callers import Caller

FIRST_ID = "0" * 32

PAGE = 1_000
"""Requests of one answer."""


class OpenMessages:
    """Finds what can still be cancelled."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, text: str, caller: Caller) -> dict[str, Any]:
        """Return `{user_id, reference, job, total, open}` of a request, or of one message.

        `job` is what was published, null once all of it has settled; `open` has the numbers of messages. Raises
        Refusal not_found (also for other people's), DatabaseUnavailable.
        """
        name = Name.read(text)
        if name is None:
            raise Refusal("not_found", what=text[:64])
        return await self._database.read(lambda connection: _find(connection, text, name, caller))

    async def list_by_reference(
        self, reference: str, username: str | None, after: str, caller: Caller
    ) -> Sequence[dict[str, Any]]:
        """Return the next requests of a user's reference after an id: `{request, user_id, total, open}`, both numbers.

        Further legs are left out, since they go with the first. Raises Refusal no_right, DatabaseUnavailable.
        """
        ownership = find_ownership(username or caller.username, caller)
        of_user = [] if ownership is None else ownership.conditions(requests)
        still_open = func.sum(case((messages.c.status.in_(OPEN), 1), else_=0))
        query = (
            select(requests.c.request, requests.c.user_id, func.count().label("total"), still_open.label("open"))
            .join(messages, messages.c.request == requests.c.request)
            .where(requests.c.reference == reference, requests.c.request > (after or FIRST_ID), *of_user)
            .where(requests.c.leg_of.is_(None) | (requests.c.leg == 1))
            .group_by(requests.c.request, requests.c.user_id)
            .order_by(requests.c.request)
            .limit(PAGE)
        )
        rows = await self._database.read(lambda connection: connection.execute(query))
        return [
            {"request": row.request, "user_id": row.user_id, "total": row.total, "open": int(row.open)} for row in rows
        ]


async def _find(connection: AsyncConnection, text: str, name: Name, caller: Caller) -> dict[str, Any]:
    query = select(requests).where(requests.c.request == name.request)
    row = (await connection.execute(query)).first()
    if row is None or not may_see(row, caller):
        raise Refusal("not_found", what=text)
    where = [messages.c.request == name.request, *([] if name.n is None else [messages.c.n == name.n])]
    rows = (await connection.execute(select(messages.c.n, messages.c.status).where(*where))).all()
    if not rows:
        raise Refusal("not_found", what=text)
    body = await connection.scalar(select(jobs.c.body).where(jobs.c.request == name.request))
    return {
        "user_id": row.user_id,
        "reference": row.reference,
        "job": None if body is None else base64.b64encode(body).decode(),
        "total": len(rows),
        "open": [message.n for message in rows if message.status in OPEN],
    }
