"""The recipient of one message: senders ask for it when a bounce names the message."""

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_history.database import Database
from imsg_history.ids import Name
from imsg_history.tables import attachments, messages, requests


class Recipients:
    """Looks up recipients."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, text: str) -> dict[str, Any]:
        """Return `{method, address, category, sender}` of a message, `REQUEST-N`.

        `address` is null once the recipient was erased. `sender` is the named sender of the content: empty where the
        content names none, null where the content was erased. Raises Refusal not_found, DatabaseUnavailable.
        """
        name = Name.read(text)
        if name is None or name.n is None:
            raise Refusal("not_found", what=text[:64])
        recipient = await self._database.read(lambda connection: _find(connection, name.request, name.n))
        if recipient is None:
            raise Refusal("not_found", what=text[:64])
        return recipient


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
        "category": row.category,
        "sender": await _read_sender(connection, row.request, row.content, row.content_at),
    }


async def _read_sender(
    connection: AsyncConnection, request: str, content: str | bytes | None, content_at: str | None
) -> str | None:
    if content is None and content_at is not None:
        conditions = (attachments.c.request == request, attachments.c.sha256 == json.loads(content_at)["sha256"])
        content = await connection.scalar(select(attachments.c.body).where(*conditions))
    if content is None:
        return None
    try:
        fields = json.loads(content)
    except ValueError:
        return None
    sender = fields.get("sender") if isinstance(fields, dict) else None
    return sender if isinstance(sender, str) else ""
