"""Queries for messages: GET /api/query and /api/v2/messages, a page at a time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_channels import BY_NAME
from imsg_contract.prices import PriceList, show_cost
from imsg_contract.topology import Lane
from imsg_contract.wire import Status, message_id
from imsg_database.engines import is_postgres
from imsg_history.database import Database
from imsg_history.day_facts import CountedMessage
from imsg_history.due_times import show_times
from imsg_history.hidden_contacts import is_hidden, replace_contact
from imsg_history.ids import Name, rfc3339, time_of
from imsg_history.message_providers import Key, ProviderAndId, find_providers
from imsg_history.pagination import MessagePosition, Page, write_message_cursor
from imsg_history.queries import COMPLAINT, SHOWN_IN_V1, WINDOW, MessagesQuery, V1MessagesQuery
from imsg_history.resending import find_resent
from imsg_history.statements import MessageFilter, count_messages, list_older, list_within, select_window_end
from imsg_history.tables import attachments, attempts, requests
from imsg_history.template_words import read_content, render_messages
from imsg_rendering.renderer import Renderer
from imsg_web.callers import Caller

MAX_CONTENT_BYTES = 16 * 1024 * 1024
"""How much content kept by reference one answer may hold; beyond it `content` is null, and one message shows it."""

ERROR_STATUSES = (Status.RETRYING, Status.FAILED, Status.EXPIRED, Status.UNCERTAIN)
"""Statuses whose code and detail are an error; with the others a provider confirms something."""


NO_CONTENT: dict[str, Any] = {"subject": None, "content": None, "attachments": []}
"""What a caller who reads no content is shown of it."""


class MessageQuery:
    """Answers queries for messages."""

    def __init__(self, database: Database, renderer: Renderer | None = None) -> None:
        self._database = database
        self._renderer = renderer

    async def find_v1(self, query: V1MessagesQuery, caller: Caller) -> Page:
        """Find a page with the keys of the interface document alone. Raises Refusal no_right, DatabaseUnavailable."""
        wanted = MessageFilter.build(
            MessagesQuery.model_construct(**dict(query) | {"status": ",".join(query.statuses) or None}), caller
        )
        page = await self._database.read(lambda connection: self._find(connection, wanted))
        await render_messages(page.rows, self._renderer)
        for message in page.rows:
            for shown in (message, *message.get("timeline", ())):
                shown["status"] = SHOWN_IN_V1.get(shown["status"], shown["status"])
        return page

    async def find(self, query: MessagesQuery, caller: Caller, prices: PriceList) -> Page:
        """Find a page, with what each message costs. Raises Refusal no_right, DatabaseUnavailable."""
        wanted = MessageFilter.build(query, caller)
        page = await self._database.read(lambda connection: self._find(connection, wanted, prices))
        await render_messages(page.rows, self._renderer)
        return replace(page, total=await self._count(wanted)) if query.total else page

    async def find_failed(self, caller: Caller, limit: int) -> list[dict[str, str]]:
        """Return the recipients of a user's last failed messages. Raises DatabaseUnavailable."""
        wanted = MessageFilter.build(MessagesQuery(status=Status.FAILED), caller)
        rows = await self._database.fetch(list_older(wanted, limit, is_postgres=self._database.is_postgres))
        known = {(row.method, row.address): row.written for row in rows if row.address is not None}
        return [
            {"method": method, "address": address, "written": written or address}
            for (method, address), written in known.items()
        ]

    async def _count(self, wanted: MessageFilter) -> int | None:
        counting = count_messages(wanted, is_postgres=self._database.is_postgres)
        return None if counting is None else int(await self._database.scalar(counting))

    async def _find(self, connection: AsyncConnection, wanted: MessageFilter, prices: PriceList | None = None) -> Page:
        """Find a page; of v1 without prices."""
        query = wanted.query
        rows = await self._list_permitted(connection, wanted)
        has_more = len(rows) > query.limit
        rows = rows[: query.limit]
        if has_more:
            end: MessagePosition | None = MessagePosition(rows[-1].request, rows[-1].n)
        else:
            end = await find_window_end(connection, wanted)
        of = await _read_requests(connection, {row.request for row in rows})
        contents = await _read_contents(connection, query, rows, of)
        known = [row for row in rows if row.request in of]
        providers = await find_providers(connection, known)
        shown = [_show(row, of[row.request], contents, providers) for row in known]
        hidden = [wanted.hides_contacts and is_hidden(row) for row in known]
        for message, row, hides in zip(shown, known, hidden, strict=True):
            if hides and message["error"]:
                message["error"]["detail"] = replace_contact(row.address, row.written, row.detail)
        if prices is not None:
            resent = await find_resent(connection, of)
            for message, row in zip(shown, known, strict=True):
                message["reference"] = row.reference or of[row.request].reference
                message["category"] = of[row.request].category
                message["key"] = of[row.request].key
                message["test"] = of[row.request].lane == Lane.TEST
                message["simulated"] = bool(row.simulated)
                message["cost"] = _find_cost(row, of[row.request], prices)
                message["resent_as"] = resent.get((row.request, row.address), [])
                message["leg"], message["leg_of"] = of[row.request].leg, of[row.request].leg_of
                message.update(show_times(of[row.request], is_held=row.status == Status.HELD))
        if not wanted.sees_content:
            shown = [message | NO_CONTENT for message in shown]
        if query.id and query.id.n is not None and shown:
            timeline = await _read_timeline(connection, query.id.request, query.id.n)
            if hidden[0]:
                timeline = [
                    entry | {"detail": replace_contact(known[0].address, known[0].written, entry["detail"])}
                    for entry in timeline
                ]
            shown[0]["timeline"] = timeline
        return Page(shown, write_message_cursor(end) if end else None)

    async def _list_permitted(self, connection: AsyncConnection, wanted: MessageFilter) -> list[Row[Any]]:
        """List the rows of a page and one more, without those that would confirm a guess of a user's contact."""
        rows = await self._list(connection, wanted)
        query = wanted.query
        if query.to is None or not wanted.hides_contacts:
            return rows
        permitted: list[Row[Any]] = []
        while True:
            permitted += [row for row in rows if may_show(wanted, row)]
            if len(rows) <= query.limit or len(permitted) > query.limit:
                return permitted[: query.limit + 1]
            rows = await self._list(connection, replace(wanted, after=MessagePosition(rows[-1].request, rows[-1].n)))

    async def _list(self, connection: AsyncConnection, wanted: MessageFilter) -> list[Row[Any]]:
        """List the rows of a page and one more: first the rest of the request where the last page ended."""
        limit, after = wanted.query.limit + 1, wanted.after
        rows: list[Row[Any]] = []
        if wanted.query.id is not None:
            return await self._list_named(connection, wanted, wanted.query.id, limit)
        if after is not None and wanted.is_in_time(after.request):
            rows = list(await connection.execute(list_within(wanted, after.request, after.n, limit)))
        if len(rows) < limit:
            older = list_older(wanted, limit - len(rows), is_postgres=self._database.is_postgres)
            rows += await connection.execute(older)
        return rows

    async def _list_named(
        self, connection: AsyncConnection, wanted: MessageFilter, name: Name, limit: int
    ) -> list[Row[Any]]:
        after_n, after = -1 if name.n is None else name.n - 1, wanted.after
        if after is not None:
            if after.request < name.request:
                return []
            after_n = max(after_n, after.n) if after.request == name.request else after_n
        if not wanted.is_in_time(name.request):
            return []
        rows = await connection.execute(list_within(wanted, name.request, after_n, limit if name.n is None else 1))
        return [row for row in rows if name.n is None or row.n == name.n]


def may_show(wanted: MessageFilter, row: Row[Any]) -> bool:
    """Return whether a message may be found: a guess of a user's contact must not find what was sent by name."""
    to = wanted.query.to
    return to is None or not wanted.hides_contacts or row.written == to or not is_hidden(row)


async def find_window_end(connection: AsyncConnection, wanted: MessageFilter) -> MessagePosition | None:
    """Return where to continue the search for a part of a recipient; None where all messages were searched."""
    if wanted.query.part is None or wanted.query.id is not None:
        return None
    statement = select_window_end(wanted, is_postgres=is_postgres(connection))
    end = (await connection.execute(statement)).first()
    return MessagePosition(end.request, end.n) if end is not None and end.messages == WINDOW else None


async def _read_requests(connection: AsyncConnection, names: set[str]) -> dict[str, Row[Any]]:
    if not names:
        return {}
    rows = await connection.execute(select(requests).where(requests.c.request.in_(names)))
    return {row.request: row for row in rows}


async def _read_contents(
    connection: AsyncConnection, query: MessagesQuery, rows: Sequence[Row[Any]], of: Mapping[str, Row[Any]]
) -> dict[str, Any]:
    """Read the content of each request; content that is kept as an attachment only where the query names an id."""
    contents = {name: json.loads(row.content) for name, row in of.items() if row.content is not None}
    if query.id is None:
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
    row: Row[Any], request: Row[Any], contents: Mapping[str, Any], providers: Mapping[Key, ProviderAndId]
) -> dict[str, Any]:
    provider, provider_id = providers.get((row.request, row.n), (row.provider, row.provider_id))
    has_error = row.status in ERROR_STATUSES and (row.code is not None or row.detail is not None)
    has_error = has_error or row.erased_at is not None
    message = {
        "id": message_id(row.request, row.n),
        "username": row.username,
        "method": row.method,
        "to": row.written,
        "subject": request.subject,
        "content": read_content(contents.get(row.request), row.params),
        "attachments": json.loads(request.attachments),
        "status": row.status,
        "attempts": row.attempts,
        "provider": provider,
        "provider_id": provider_id,
        "resend_of": request.resend_of,
        "error": {"code": row.code, "detail": row.detail} if has_error else None,
        "created_at": rfc3339(time_of(row.request)),
        "updated_at": rfc3339(row.at),
    }
    if (channel := BY_NAME.get(row.method)) is not None and channel.segments is not None:
        message["segments"] = request.segments
    return message


def _find_cost(row: Row[Any], request: Row[Any], prices: PriceList) -> dict[str, Any] | None:
    if request.lane == Lane.TEST:
        return None
    cost = CountedMessage.of(row).find_cost(prices, row.method, request.day, request.segments)
    return None if cost is None else show_cost(cost)


async def _read_timeline(connection: AsyncConnection, request: str, n: int) -> list[dict[str, Any]]:
    of_message = (attempts.c.request == request, attempts.c.n == n)
    rows = list(await connection.execute(select(attempts).where(*of_message).order_by(attempts.c.at, attempts.c.mark)))
    # A report is of an attempt before it, whatever its provider's clock says: many give whole seconds. Who complains
    # has the message: a complaint, which may have the time of the message itself, stands behind its delivery.
    last = max((row.attempt for row in rows if row.attempt), default=0)
    rows.sort(key=lambda row: (row.attempt or last + 1, _is_complaint(row), row.at))
    return [
        {
            "attempt": row.attempt or None,
            "at": rfc3339(row.at),
            "status": COMPLAINT if _is_complaint(row) else row.status,
            "provider": row.provider,
            "provider_id": row.provider_id,
            "code": row.code,
            "detail": row.detail,
        }
        for row in rows
    ]


def _is_complaint(row: Row[Any]) -> bool:
    """Return whether a line is a complaint, which is kept as a report of delivery with a code of its own."""
    return not row.attempt and row.status == Status.DELIVERED and row.code == COMPLAINT
