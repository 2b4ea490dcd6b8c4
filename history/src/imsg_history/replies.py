"""What people wrote back: GET /api/replies, newest first; users see what answers their own messages."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_channels import BY_NAME
from imsg_contract.wire import message_id
from imsg_history.cursors import read_limit, read_moment, write_moment
from imsg_history.database import Database
from imsg_history.filters import read_address, read_method, read_name, read_time
from imsg_history.hidden_contacts import is_hidden
from imsg_history.ids import Name, rfc3339
from imsg_history.ownership import Ownership, whose
from imsg_history.tables import messages, replies, requests
from imsg_web.callers import Caller


@dataclass(frozen=True, slots=True)
class ReplyFilter:
    """Which replies are asked for, and from where on."""

    whose: Ownership | None
    name: Name | None
    method: str | None
    sender: str | None
    """Who wrote it, as the API was given it."""
    since: datetime | None
    until: datetime | None
    limit: int
    after: tuple[datetime, str] | None
    hides: bool
    """Whether contacts that the caller has not written are kept from them."""


@dataclass(frozen=True, slots=True)
class ReplyPage:
    """One page of replies as the public API shows them."""

    replies: list[dict[str, Any]]
    next: str | None


def read_filter(given: Mapping[str, str], caller: Caller) -> ReplyFilter:
    """Read what is asked for. Raises Refusal."""
    cursor = given.get("cursor")
    return ReplyFilter(
        whose(given.get("username"), caller),
        read_name(given["id"]) if "id" in given else None,
        read_method(given["method"]) if "method" in given else None,
        read_address(given["from"], "from") if "from" in given else None,
        read_time(given, "since"),
        read_time(given, "until"),
        read_limit(given.get("limit")),
        read_moment(cursor) if cursor else None,
        hides=not caller.is_admin,
    )


class Replies:
    """Answers which replies fit a filter."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, asked: ReplyFilter) -> ReplyPage:
        """Find a page. Raises DatabaseUnavailable."""
        return await self._database.read(lambda connection: _find(connection, asked))


async def _find(connection: AsyncConnection, asked: ReplyFilter) -> ReplyPage:
    seen: list[Row[Any]] = []
    after = asked.after
    while True:
        rows = (await connection.execute(_select(replace(asked, after=after)))).all()
        seen += [row for row in rows if _may_be_found(asked, row)]
        if len(rows) <= asked.limit or len(seen) > asked.limit:
            break
        after = rows[-1].at, rows[-1].id
    last = seen[asked.limit - 1] if len(seen) > asked.limit else None
    return ReplyPage([_show(row) for row in seen[: asked.limit]], write_moment(last.at, last.id) if last else None)


def _select(asked: ReplyFilter) -> Select[Any]:
    answered = (messages.c.request == replies.c.request) & (messages.c.n == replies.c.n)
    query = (
        select(replies, messages.c.written, requests.c.reference)
        .outerjoin(messages, answered)
        .outerjoin(requests, requests.c.request == replies.c.request)
        .order_by(replies.c.at.desc(), replies.c.id.desc())
        .limit(asked.limit + 1)
    )
    if asked.whose is not None:
        query = query.where(replies.c.username == asked.whose.username)
        if asked.whose.user_id is not None and asked.whose.since is not None:
            # One without an id answers a message of before users had ids, by somebody of this name.
            before = replies.c.user_id.is_(None) & (replies.c.at >= asked.whose.since)
            query = query.where(or_(replies.c.user_id == asked.whose.user_id, before))
    if asked.name is not None:
        query = query.where(replies.c.request == asked.name.request)
        if asked.name.n is not None:
            query = query.where(replies.c.n == asked.name.n)
    if asked.method is not None:
        query = query.where(replies.c.method == asked.method)
    if asked.sender is not None:
        query = query.where(or_(replies.c.address.in_(_spellings(asked.sender)), messages.c.written == asked.sender))
    if asked.since is not None:
        query = query.where(replies.c.at >= asked.since)
    if asked.until is not None:
        query = query.where(replies.c.at < asked.until)
    if asked.after is not None:
        place = tuple_(literal(asked.after[0], replies.c.at.type), literal(asked.after[1]))
        query = query.where(tuple_(replies.c.at, replies.c.id) < place)
    return query


def _spellings(sender: str) -> set[str]:
    """Return the normal forms that what was given may have, by channel."""
    found = {channel.address.parse(sender) for channel in BY_NAME.values()}
    return {sender, *(one for one in found if one is not None)}


def _may_be_found(asked: ReplyFilter, row: Row[Any]) -> bool:
    """Tell whether finding a reply confirms no guess: a user's contact does not find the answer to a name."""
    return asked.sender is None or not asked.hides or row.written == asked.sender or not is_hidden(row)


def _show(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "method": row.method,
        "from": row.written or row.address,
        "to": row.written_to,
        "text": row.text,
        "opt_out": bool(row.opt_out),
        "signature": row.signature,
        "provider": row.provider,
        "message": message_id(row.request, row.n) if row.request is not None else None,
        "username": row.username,
        "reference": row.reference,
        "at": rfc3339(row.at),
    }
