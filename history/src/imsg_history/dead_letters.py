"""Dead letters, read by administrators: a page of them, or one with its body."""

import base64
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_history.cursors import read_limit, read_moment, write_moment
from imsg_history.database import Database
from imsg_history.ids import rfc3339
from imsg_history.tables import dead

SHOWN = (dead.c.id, dead.c.request, dead.c.method, dead.c.reason, dead.c.detail, dead.c.at)


@dataclass(frozen=True, slots=True)
class Letters:
    """One page of dead letters, newest first."""

    dead: list[dict[str, Any]]
    next: str | None


class DeadLetters:
    """The store of dead letters. Who may read them is the caller's to check."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, limit: str | None, cursor: str | None) -> Letters:
        """List a page. Raises Refusal for a wrong limit or cursor, DatabaseUnavailable."""
        most = read_limit(limit)
        query = select(*SHOWN).order_by(dead.c.at.desc(), dead.c.id.desc()).limit(most + 1)
        if cursor:
            at, name = read_moment(cursor)
            query = query.where(tuple_(dead.c.at, dead.c.id) < tuple_(literal(at, dead.c.at.type), literal(name)))

        async def work(connection: AsyncConnection) -> list[Any]:
            return list(await connection.execute(query))

        rows = await self._database.read(work)
        last = rows[most - 1] if len(rows) > most else None
        return Letters([_show(row) for row in rows[:most]], write_moment(last.at, last.id) if last else None)

    async def one(self, name: str) -> dict[str, Any]:
        """Show one with its queue and body: as text where it is UTF-8, else in base64. Raises Refusal not_found."""

        async def work(connection: AsyncConnection) -> Row[Any] | None:
            return (await connection.execute(select(dead).where(dead.c.id == name))).first()

        row = await self._database.read(work)
        if row is None:
            raise Refusal("not_found", what=name[:64])
        try:
            body = {"body": row.body.decode()}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(row.body).decode()}
        return {**_show(row), "queue": row.queue, **body}


def _show(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "request": row.request,
        "method": row.method,
        "reason": row.reason,
        "detail": row.detail,
        "at": rfc3339(row.at),
    }
