"""Whom one message went to and as whose, told to senders to whom a bounce names it."""

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_contract.wire import Category
from imsg_history.database import Database
from imsg_history.ids import Name
from imsg_history.tables import attachments, messages, requests


class Addressees:
    """Looks them up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, text: str) -> dict[str, Any]:
        """Return `{method, address, category, sender}` of a message, `REQUEST-N`.

        `address` is null where its recipient was erased. `sender` is the name that its content has, empty where it has
        none, null where the content is kept no more. Raises Refusal not_found, DatabaseUnavailable.
        """
        name = Name.read(text)
        if name is None or name.n is None:
            raise Refusal("not_found", what=text[:64])
        found = await self._database.read(lambda connection: _find(connection, name.request, name.n))
        if found is None:
            raise Refusal("not_found", what=text[:64])
        return found


async def _find(connection: AsyncConnection, request: str, n: int | None) -> dict[str, Any] | None:
    query = (
        select(
            messages.c.method,
            messages.c.address,
            messages.c.request,
            requests.c.category,
            requests.c.content,
            requests.c.content_at,
        )
        .join(requests, requests.c.request == messages.c.request)
        .where(messages.c.request == request, messages.c.n == n)
    )
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    return {
        "method": row.method,
        "address": row.address,
        "category": row.category or Category.NOTICE,
        "sender": await _sender(connection, row.request, row.content, row.content_at),
    }


async def _sender(
    connection: AsyncConnection, request: str, content: str | bytes | None, content_at: str | None
) -> str | None:
    if content is None and content_at is not None:
        kept = (attachments.c.request == request, attachments.c.sha256 == json.loads(content_at)["sha256"])
        content = await connection.scalar(select(attachments.c.body).where(*kept))
    if content is None:
        return None
    try:
        read = json.loads(content)
    except ValueError:
        return None
    named = read.get("sender") if isinstance(read, dict) else None
    return named if isinstance(named, str) else ""
