"""Finding messages: GET /api/query, one page by keyset, each filter by an index."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_channels import BY_NAME
from imsg_contract.wire import Category, Status, message_id
from imsg_history.cursors import Place, write_place
from imsg_history.database import Database
from imsg_history.filters import Query
from imsg_history.hidden_contacts import is_hidden, without
from imsg_history.ids import Name, rfc3339, time_of
from imsg_history.records import RENAMED_CODES
from imsg_history.resends import find_resent
from imsg_history.sendings import Sending, find_sendings
from imsg_history.statements import WINDOW, Listings, is_in_time
from imsg_history.tables import attachments, attempts, requests

MAX_CONTENT_BYTES = 16 * 1024 * 1024
"""How much content kept by reference one answer may hold; beyond it `content` is null, and one message shows it."""

TROUBLED = (Status.RETRYING, Status.FAILED, Status.EXPIRED, Status.UNCERTAIN)
"""Statuses whose code and detail are an error; the others' are the provider's good word."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of messages as the public API shows them."""

    messages: list[dict[str, Any]]
    next: str | None


class MessageQuery:
    """Answers queries from the tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listings = Listings(is_postgres=database.is_postgres)

    async def find(self, query: Query, *, is_v2: bool = False) -> Page:
        """Find a page, for v1 (whose keys are frozen) or for v2. Raises DatabaseUnavailable."""
        return await self._database.read(lambda connection: self._find(connection, query, is_v2=is_v2))

    async def _find(self, connection: AsyncConnection, query: Query, *, is_v2: bool) -> Page:
        rows = await self._see(connection, query)
        more = len(rows) > query.limit
        rows = rows[: query.limit]
        last = (rows[-1].request, rows[-1].n) if more else await find_window_end(connection, self._listings, query)
        of = await _requests(connection, {row.request for row in rows})
        contents = await _contents(connection, query, rows, of)
        known = [row for row in rows if row.request in of]
        sendings = await find_sendings(connection, known)
        shown = [_show(row, of[row.request], contents, sendings) for row in known]
        kept_from = [query.hides and is_hidden(row) for row in known]
        for message, row, is_kept in zip(shown, known, kept_from, strict=True):
            if is_kept and message["error"]:
                message["error"]["detail"] = without(row.address, row.written, row.detail)
        if is_v2:
            resent = await find_resent(connection, of)
            for message, row in zip(shown, known, strict=True):
                message["reference"] = of[row.request].reference
                message["category"] = of[row.request].category or Category.NOTICE
                message["resent_as"] = resent.get((row.request, row.address), [])
        if query.name and query.name.n is not None and shown:
            timeline = await _timeline(connection, query.name.request, query.name.n)
            if kept_from[0]:
                timeline = [
                    entry | {"detail": without(known[0].address, known[0].written, entry["detail"])}
                    for entry in timeline
                ]
            shown[0]["timeline"] = timeline
        return Page(shown, write_place(last) if last else None)

    async def _see(self, connection: AsyncConnection, query: Query) -> list[Row[Any]]:
        """Find as below, without what would confirm a guess: a user's contact does not find what was sent by name."""
        rows = await self._rows(connection, query)
        if query.to is None or not query.hides:
            return rows
        seen: list[Row[Any]] = []
        while True:
            seen += [row for row in rows if row.written == query.to or not is_hidden(row)]
            if len(rows) <= query.limit or len(seen) > query.limit:
                return seen[: query.limit + 1]
            rows = await self._rows(connection, replace(query, after=(rows[-1].request, rows[-1].n)))

    async def _rows(self, connection: AsyncConnection, query: Query) -> list[Row[Any]]:
        """Find the messages of a page and one more: first the rest of the request where the last page ended."""
        wanted = query.limit + 1
        rows: list[Row[Any]] = []
        if query.name is not None:
            return await self._find_named(connection, query, query.name, wanted)
        if query.after is not None and is_in_time(query, query.after):
            rows = list(await connection.execute(*self._listings.within(query, *query.after, wanted)))
        if len(rows) < wanted:
            rows += await connection.execute(*self._listings.older(query, wanted - len(rows)))
        return rows

    async def _find_named(self, connection: AsyncConnection, query: Query, name: Name, wanted: int) -> list[Row[Any]]:
        start = -1 if name.n is None else name.n - 1
        if query.after is not None:
            if query.after[0] < name.request:
                return []
            start = max(start, query.after[1]) if query.after[0] == name.request else start
        if not is_in_time(query, (name.request, 0)):
            return []
        wanted = wanted if name.n is None else 1
        rows = await connection.execute(*self._listings.within(query, name.request, start, wanted))
        return [row for row in rows if name.n is None or row.n == name.n]


async def find_window_end(connection: AsyncConnection, listings: Listings, query: Query) -> Place | None:
    """Tell where to go on where a part of a recipient was sought among some messages, and older ones may be there."""
    if query.part is None or query.name is not None:
        return None
    end = (await connection.execute(*listings.window_end(query))).first()
    return (end.request, end.n) if end is not None and end.messages == WINDOW else None


async def _requests(connection: AsyncConnection, names: set[str]) -> dict[str, Row[Any]]:
    if not names:
        return {}
    found = await connection.execute(select(requests).where(requests.c.request.in_(names)))
    return {row.request: row for row in found}


async def _contents(
    connection: AsyncConnection, query: Query, rows: Sequence[Row[Any]], of: Mapping[str, Row[Any]]
) -> dict[str, Any]:
    """Read each request's content once; what is kept by reference only where its id was asked for."""
    contents = {name: json.loads(row.content) for name, row in of.items() if row.content is not None}
    if query.name is None:
        return contents
    for name, row in of.items():
        reference = json.loads(row.content_at or "null")
        if reference and reference["size"] * len(rows) <= MAX_CONTENT_BYTES:
            key = (attachments.c.request == name, attachments.c.sha256 == reference["sha256"])
            body = await connection.scalar(select(attachments.c.body).where(*key))
            if body is not None:
                contents[name] = json.loads(body)
    return contents


def _show(
    row: Row[Any], request: Row[Any], contents: Mapping[str, Any], sendings: Mapping[Place, Sending]
) -> dict[str, Any]:
    provider, provider_id = sendings.get((row.request, row.n), (row.provider, row.provider_id))
    has_error = row.status in TROUBLED and (row.code is not None or row.detail is not None)
    has_error = has_error or row.erased_at is not None
    message = {
        "id": message_id(row.request, row.n),
        "username": row.username,
        "method": row.method,
        "to": row.written,
        "subject": request.subject,
        "content": contents.get(row.request),
        "attachments": json.loads(request.attachments),
        "status": row.status,
        "attempts": row.attempts,
        "provider": provider,
        "provider_id": provider_id,
        "resend_of": request.resend_of,
        "error": {"code": _code(row.code), "detail": row.detail} if has_error else None,
        "created_at": rfc3339(time_of(row.request)),
        "updated_at": rfc3339(row.at),
    }
    if (channel := BY_NAME.get(row.method)) is not None and channel.segments is not None:
        message["segments"] = request.segments
    return message


def _code(written: str | None) -> str | None:
    return RENAMED_CODES.get(written, written) if written is not None else None


async def _timeline(connection: AsyncConnection, request: str, n: int) -> list[dict[str, Any]]:
    of = (attempts.c.request == request, attempts.c.n == n)
    found = list(await connection.execute(select(attempts).where(*of).order_by(attempts.c.at, attempts.c.mark)))
    # A report is of an attempt before it, whatever its provider's clock says: many give whole seconds.
    last = max((row.attempt for row in found if row.attempt), default=0)
    found.sort(key=lambda row: (row.attempt or last + 1, row.at))
    return [
        {
            "attempt": row.attempt or None,
            "at": rfc3339(row.at),
            "status": row.status,
            "provider": row.provider,
            "provider_id": row.provider_id,
            "code": _code(row.code),
            "detail": row.detail,
        }
        for row in found
    ]
