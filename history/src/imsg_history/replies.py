"""Replies, newest first: users see the replies to their own messages, administrators all."""

from functools import partial
from typing import Any

from sqlalchemy import Row, Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_channels import CHANNELS
from imsg_contract.wire import message_id
from imsg_database.totals import count_rows
from imsg_history.database import Database
from imsg_history.hidden_contacts import is_hidden
from imsg_history.ids import rfc3339
from imsg_history.ownership import Ownership, find_ownership
from imsg_history.pagination import Page, TimePosition, make_page
from imsg_history.queries import RepliesQuery
from imsg_history.tables import REFERENCE, messages, replies, requests
from imsg_web.callers import Caller
from imsg_web.schemas import MAX_TOTAL


class Replies:
    """Lists replies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, query: RepliesQuery, caller: Caller) -> Page:
        """Find a page. Raises Refusal no_right, DatabaseUnavailable."""
        ownership = find_ownership(query.username, caller)
        return await self._database.read(lambda connection: _find(connection, query, ownership, caller))


async def _find(connection: AsyncConnection, query: RepliesQuery, ownership: Ownership | None, caller: Caller) -> Page:
    permitted: list[Row[Any]] = []
    after, total = query.cursor, None
    if query.total and (caller.sees_all or query.sender is None):  # else the count would confirm a guess
        total = await connection.scalar(count_rows(_select(query, ownership, None), MAX_TOTAL + 1))
    while True:
        rows = (await connection.execute(_select(query, ownership, after))).all()
        permitted += [row for row in rows if caller.sees_all or _may_show(query, row)]
        if len(rows) <= query.limit or len(permitted) > query.limit:
            show = partial(_show, sees_content=caller.sees_content)
            return make_page(permitted, query.limit, show, _find_position, total)
        after = _find_position(rows[-1])


def _select(query: RepliesQuery, ownership: Ownership | None, after: TimePosition | None) -> Select[Any]:
    answered = (messages.c.request == replies.c.request) & (messages.c.n == replies.c.n)
    statement = (
        select(replies, messages.c.written, REFERENCE)
        .outerjoin(messages, answered)
        .outerjoin(requests, requests.c.request == replies.c.request)
        .order_by(replies.c.at.desc(), replies.c.id.desc())
        .limit(query.limit + 1)
    )
    if ownership is not None:
        statement = statement.where(*ownership.is_of_user(replies))
    if query.id is not None:
        statement = statement.where(replies.c.request == query.id.request)
        if query.id.n is not None:
            statement = statement.where(replies.c.n == query.id.n)
    if query.method is not None:
        statement = statement.where(replies.c.method == query.method)
    if query.sender is not None:
        is_from = replies.c.address.in_(_normal_forms(query.sender)) | (messages.c.written == query.sender)
        statement = statement.where(is_from)
    if query.since is not None:
        statement = statement.where(replies.c.at >= query.since)
    if query.until is not None:
        statement = statement.where(replies.c.at < query.until)
    if after is not None:
        position = tuple_(literal(after.at, replies.c.at.type), literal(after.id))
        statement = statement.where(tuple_(replies.c.at, replies.c.id) < position)
    return statement


def _normal_forms(sender: str) -> set[str]:
    """Return the normal forms of a sender in each channel, and the text itself."""
    forms = {channel.address.parse(sender) for channel in CHANNELS}
    return {sender, *(form for form in forms if form is not None)}


def _may_show(query: RepliesQuery, row: Row[Any]) -> bool:
    """Return whether a reply may be found: a guess of a user's contact must not find what was sent by name."""
    return query.sender is None or row.written == query.sender or not is_hidden(row)


def _find_position(row: Row[Any]) -> TimePosition:
    return TimePosition(row.at, row.id)


def _show(row: Row[Any], *, sees_content: bool) -> dict[str, Any]:
    return {
        "id": row.id,
        "method": row.method,
        "from": row.written or row.address,
        "to": row.written_to,
        "text": row.text if sees_content else None,
        "opt_out": bool(row.opt_out),
        "signature": row.signature,
        "provider": row.provider,
        "message": message_id(row.request, row.n) if row.request is not None else None,
        "username": row.username,
        "reference": row.reference,
        "at": rfc3339(row.at),
    }
