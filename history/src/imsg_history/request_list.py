"""Listing requests, newest first: each once, with how many of its messages stand where."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import Category, Status
from imsg_history.cursors import Place, write_place
from imsg_history.database import Database
from imsg_history.filters import Query
from imsg_history.hidden_contacts import is_hidden
from imsg_history.ids import LAST_N, rfc3339, time_of
from imsg_history.overview import state_of
from imsg_history.query import find_window_end
from imsg_history.statements import Listings
from imsg_history.tables import messages, requests

ROWS = 200
"""Messages read at once: a request of more is passed over by its id, however many it has."""

MOST_READS = 100
"""The most reads for one page; what they did not reach is behind `next`."""


@dataclass(frozen=True, slots=True)
class RequestPage:
    """One page of requests as the public API shows them."""

    requests: list[dict[str, Any]]
    next: str | None


class RequestList:
    """Answers which requests have a message that fits a query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listings = Listings(is_postgres=database.is_postgres)

    async def find(self, query: Query) -> RequestPage:
        """Find a page. Raises DatabaseUnavailable."""
        return await self._database.read(lambda connection: self._find(connection, query))

    async def _find(self, connection: AsyncConnection, query: Query) -> RequestPage:
        first, end = await self._walk(connection, query)
        shown = list(first)[: query.limit]
        if len(first) > query.limit:
            end = (shown[-1], LAST_N)
        return RequestPage(
            await _show(connection, {name: first[name] for name in shown}), write_place(end) if end else None
        )

    async def _walk(self, connection: AsyncConnection, query: Query) -> tuple[dict[str, Row[Any]], Place | None]:
        """Find one request more than the page holds, each with the first of its messages that fits.

        The place says where to go on if what was read ended before everything that may fit.
        """
        if query.name is not None:
            start = -1 if query.name.n is None else query.name.n - 1
            return await self._find_within(connection, query, query.name.request, start), None
        first: dict[str, Row[Any]] = {}
        if query.after is not None and query.after[1] != LAST_N:  # what was read last ended within a request
            first |= await self._find_within(connection, query, *query.after)
        for _ in range(MOST_READS):
            rows = list(await connection.execute(*self._listings.older(query, ROWS)))
            for row in rows:
                if _may_be_found(query, row):
                    first.setdefault(row.request, row)
            if len(rows) < ROWS:
                return first, await find_window_end(connection, self._listings, query)
            query = replace(query, after=(rows[-1].request, LAST_N))
            if len(first) > query.limit:
                return first, None
        return first, query.after

    async def _find_within(
        self, connection: AsyncConnection, query: Query, request: str, start: int
    ) -> dict[str, Row[Any]]:
        rows = await connection.execute(*self._listings.within(query, request, start, ROWS))
        fitting = next((row for row in rows if _may_be_found(query, row)), None)
        return {request: fitting} if fitting is not None else {}


def _may_be_found(query: Query, row: Row[Any]) -> bool:
    """Tell whether finding a message confirms no guess: a user's contact does not find what was sent by name."""
    return query.to is None or not query.hides or row.written == query.to or not is_hidden(row)


async def _show(connection: AsyncConnection, first: Mapping[str, Row[Any]]) -> list[dict[str, Any]]:
    of = {row.request: row for row in await connection.execute(select(requests).where(requests.c.request.in_(first)))}
    counts = await _count(connection, list(of))
    return [_row(of[name], first[name], counts[name]) for name in first if name in of]


async def _count(connection: AsyncConnection, names: Sequence[str]) -> Mapping[str, Counter[Status]]:
    counting = (
        select(messages.c.request, messages.c.status, func.count().label("messages"))
        .where(messages.c.request.in_(names))
        .group_by(messages.c.request, messages.c.status)
    )
    counts: defaultdict[str, Counter[Status]] = defaultdict(Counter)
    for row in await connection.execute(counting):
        counts[row.request][Status(row.status)] = row.messages
    return counts


def _row(request: Row[Any], first: Row[Any], counts: Counter[Status]) -> dict[str, Any]:
    return {
        "id": request.request,
        "username": request.username,
        "method": request.method,
        "category": request.category or Category.NOTICE,
        "reference": request.reference,
        "subject": request.subject,
        "content": json.loads(request.content) if request.content is not None else None,
        "attachments": json.loads(request.attachments),
        "resend_of": request.resend_of,
        "to": first.written,
        "recipients": counts.total(),
        "state": state_of(counts),
        "counts": {status.value: counts[status] for status in Status},
        "created_at": rfc3339(time_of(request.request)),
    }
