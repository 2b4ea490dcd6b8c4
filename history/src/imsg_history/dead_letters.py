"""Dead letters, read by administrators: a page of them, or one with its body."""

import base64
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_history.audit import insert_line
from imsg_history.database import Database
from imsg_history.ids import rfc3339
from imsg_history.pagination import Page, TimePosition, make_page
from imsg_history.queries import TimePageQuery
from imsg_history.tables import dead
from imsg_web.audit import make_change
from imsg_web.callers import Caller

SHOWN = (dead.c.id, dead.c.request, dead.c.method, dead.c.reason, dead.c.detail, dead.c.at)


ACTION = "dead_letter_removed"


class DeadLetters:
    """The store of dead letters. Callers check who may read them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, query: TimePageQuery) -> Page:
        """Find a page, newest first. Raises DatabaseUnavailable."""
        statement: Select[Any] = select(*SHOWN).order_by(dead.c.at.desc(), dead.c.id.desc()).limit(query.limit + 1)
        if query.cursor is not None:
            position = tuple_(literal(query.cursor.at, dead.c.at.type), literal(query.cursor.id))
            statement = statement.where(tuple_(dead.c.at, dead.c.id) < position)
        rows = await self._database.fetch(statement)
        return make_page(rows, query.limit, _show, lambda row: TimePosition(row.at, row.id))

    async def show(self, name: str, caller: Caller) -> dict[str, Any]:
        """Show one with its queue and body: as text where it is UTF-8, else in base64. Raises Refusal not_found.

        A caller who reads no content gets no body.
        """
        statement = select(dead).where(dead.c.id == name)
        row = await self._database.first(statement)
        if row is None:
            raise Refusal("not_found", what=name[:64])
        if not caller.sees_content:
            return {**_show(row), "queue": row.queue}
        try:
            body = {"body": row.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(row.body).decode()}
        return {**_show(row), "queue": row.queue, **body}

    async def remove(self, name: str, caller: Caller, at: datetime) -> None:
        """Remove one, with an audit record; its message doesn't change. Raises Refusal not_found."""
        line = insert_line(make_change(caller, ACTION, name, at))

        async def work(connection: AsyncConnection) -> None:
            if not (await connection.execute(delete(dead).where(dead.c.id == name))).rowcount:
                raise Refusal("not_found", what=name[:64])
            await connection.execute(line)

        await self._database.write(work)


def _show(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "request": row.request,
        "method": row.method,
        "reason": row.reason,
        "detail": row.detail,
        "at": rfc3339(row.at),
    }
