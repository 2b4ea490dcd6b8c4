"""Finding messages: GET /api/query, one page by keyset, each filter by an index."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Row,
    Select,
    Text,
    bindparam,
    column,
    func,
    select,
    true,
    tuple_,
    union_all,
    values,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_history.database import Database
from imsg_history.filters import Query
from imsg_history.ids import first_id, time_of
from imsg_history.pages import Place, write_place
from imsg_history.tables import attachments, attempts, messages, requests
from imsg_shared import addresses
from imsg_shared.topology import METHODS
from imsg_shared.wire import Status, message_id

MAX_CONTENT_BYTES = 16 * 1024 * 1024
"""How much content kept by reference one answer may hold; beyond it `content` is null, and one message shows it."""

Keys = Select[tuple[str, int]]
Condition = ColumnElement[bool]

TROUBLED = (Status.RETRYING, Status.FAILED, Status.EXPIRED, Status.UNCERTAIN)
"""Statuses whose code and detail are an error; the others' are the provider's good word."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of messages as the public API shows them."""

    messages: list[dict[str, Any]]
    next: str | None


class Finder:
    """Answers queries from the tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, query: Query) -> Page:
        """Find a page. Raises DatabaseAway."""
        return await self._database.read(lambda connection: self._find(connection, query))

    async def _find(self, connection: AsyncConnection, query: Query) -> Page:
        places = await self._places(connection, query)
        more = len(places) > query.limit
        places = places[: query.limit]
        rows = await _rows(connection, places)
        of = await _requests(connection, {request for request, _ in places})
        contents = await _contents(connection, query, rows, of)
        shown = [_shown(row, of[row.request], contents) for row in rows if row.request in of]
        if query.name and query.name.n is not None and shown:
            shown[0]["timeline"] = await _timeline(connection, query.name.request, query.name.n)
        return Page(shown, write_place(places[-1]) if more else None)

    async def _places(self, connection: AsyncConnection, query: Query) -> list[Place]:
        """Find the places of a page and one more: first the rest of the request where the last page ended."""
        wanted = query.limit + 1
        if query.name is not None:
            return await self._within(connection, query, query.name.request, wanted)
        places: list[Place] = []
        if query.after is not None and _is_in_time(query, query.after[0]):
            places = await self._within(connection, query, query.after[0], wanted)
        if len(places) < wanted:
            older = self._older(query, wanted - len(places))
            places += [(row.request, row.n) for row in await connection.execute(older)]
        return places

    async def _within(self, connection: AsyncConnection, query: Query, request: str, wanted: int) -> list[Place]:
        where = [messages.c.request == request, *_conditions(query)]
        if query.to is not None:
            where.append(messages.c.address.in_(_forms(query.to)) | (messages.c.written == query.to))
        if query.name is not None and query.name.n is not None:
            where.append(messages.c.n == query.name.n)
        if query.after is not None:
            after_request, after_n = query.after
            if request != after_request:
                where.append(messages.c.request < after_request)
            else:
                where.append(messages.c.n > after_n)
        found = await connection.execute(_keys(where, wanted))
        return [(row.request, row.n) for row in found]

    def _older(self, query: Query, wanted: int) -> Keys:
        """Ask for messages of requests that are older than the last page's, newest first."""
        where = [*_conditions(query), *_limits(query)]
        if query.to is not None:
            forms = _forms(query.to)
            branches = [_keys([messages.c.address == form, *where], wanted) for form in forms]
            written = [messages.c.written == query.to, messages.c.written != messages.c.address]
            branches.append(_keys([*written, messages.c.address.not_in(forms), *where], wanted))
            return _merged(branches, wanted)
        kinds = list(
            product([query.method] if query.method else METHODS, [query.status] if query.status else list(Status))
        )
        if len(kinds) == 1:
            return _keys(where, wanted)
        if self._database.is_postgres:
            return _lateral(kinds, where, wanted)
        return _merged([_keys([*_of_kind(kind), *where], wanted) for kind in kinds], wanted)


def _conditions(query: Query) -> list[Condition]:
    where: list[Condition] = [messages.c.username.is_not(None)]
    if query.username is not None:
        where = [messages.c.username == query.username]
    if query.method is not None:
        where.append(messages.c.method == query.method)
    if query.status is not None:
        where.append(messages.c.status == query.status.value)
    return where


def _limits(query: Query) -> list[Condition]:
    where: list[Condition] = []
    uppers = [query.after[0]] if query.after else []
    if query.until is not None:
        uppers.append(first_id(query.until))
    if uppers:
        where.append(messages.c.request < min(uppers))
    if query.since is not None:
        where.append(messages.c.request >= first_id(query.since))
    return where


def _is_in_time(query: Query, request: str) -> bool:
    return (query.until is None or request < first_id(query.until)) and (
        query.since is None or request >= first_id(query.since)
    )


def _forms(to: str) -> list[str]:
    """List the normal forms a recipient may have been given in, and what was written itself."""
    forms = {to, addresses.email(to), addresses.phone(to), addresses.tag(to)}
    return sorted(form for form in forms if form is not None)


def _keys(where: Sequence[Condition], wanted: int) -> Keys:
    keys = select(messages.c.request, messages.c.n).where(*where)
    return keys.order_by(messages.c.request.desc(), messages.c.n).limit(wanted)


def _of_kind(kind: tuple[str, Status]) -> list[Condition]:
    return [messages.c.method == kind[0], messages.c.status == kind[1].value]


def _merged(branches: Sequence[Keys], wanted: int) -> Keys:
    """Merge listings that share no message: each is read by its own index, as far as one page goes."""
    merged = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    return select(merged.c.request, merged.c.n).order_by(merged.c.request.desc(), merged.c.n).limit(wanted)


def _lateral(kinds: Sequence[tuple[str, Status]], where: Sequence[Condition], wanted: int) -> Keys:
    """Merge as above, planned once for all kinds: PostgreSQL plans every partition of every branch otherwise."""
    kind = values(column("method", Text), column("status", Text), name="kind")
    kind = kind.data([(method, status.value) for method, status in kinds])
    one = _keys([messages.c.method == kind.c.method, messages.c.status == kind.c.status, *where], wanted).lateral("one")
    merged = select(one.c.request, one.c.n).select_from(kind.join(one, true()))
    return merged.order_by(one.c.request.desc(), one.c.n).limit(wanted)


async def _rows(connection: AsyncConnection, places: Sequence[Place]) -> list[Row[Any]]:
    """Fetch the messages at these places, in their order."""
    if not places:
        return []
    key = tuple_(messages.c.request, messages.c.n)
    wanted: Any = places
    if connection.dialect.name == "postgresql":  # a list of pairs would be planned as so many conditions
        names, numbers = (list(part) for part in zip(*places, strict=True))
        wanted = select(
            func.unnest(bindparam("names", names, ARRAY(messages.c.request.type))),
            func.unnest(bindparam("numbers", numbers, ARRAY(messages.c.n.type))),
        )
    found = {(row.request, row.n): row for row in await connection.execute(select(messages).where(key.in_(wanted)))}
    return [found[place] for place in places if place in found]


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


def _shown(row: Row[Any], request: Row[Any], contents: Mapping[str, Any]) -> dict[str, Any]:
    has_error = row.status in TROUBLED and (row.code is not None or row.detail is not None)
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
        "provider": row.provider,
        "provider_id": row.provider_id,
        "resend_of": request.resend_of,
        "error": {"code": row.code, "detail": row.detail} if has_error else None,
        "created_at": rfc3339(time_of(row.request)),
        "updated_at": rfc3339(row.at),
    }
    if row.method == "sms":
        message["segments"] = request.segments
    return message


async def _timeline(connection: AsyncConnection, request: str, n: int) -> list[dict[str, Any]]:
    of = (attempts.c.request == request, attempts.c.n == n)
    found = await connection.execute(select(attempts).where(*of).order_by(attempts.c.at, attempts.c.mark))
    return [
        {
            "attempt": row.attempt,
            "at": rfc3339(row.at),
            "status": row.status,
            "provider": row.provider,
            "provider_id": row.provider_id,
            "code": row.code,
            "detail": row.detail,
        }
        for row in found
    ]


def rfc3339(at: datetime) -> str:
    """Write a time as RFC 3339 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
