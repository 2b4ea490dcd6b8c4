"""Requests, each with the number of its messages in each status: a list of them, newest first, or one."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_contract.topology import Lane
from imsg_contract.wire import SETTLED, Status
from imsg_history.database import Database
from imsg_history.due_times import show_times
from imsg_history.ids import LAST_N, Name, rfc3339, time_of
from imsg_history.legs import UNUSED, WAITING, list_legs
from imsg_history.ownership import SKEW, may_see
from imsg_history.pagination import MessagePosition, Page, write_message_cursor
from imsg_history.queries import MessagesQuery
from imsg_history.query import NO_CONTENT, find_window_end, may_show
from imsg_history.statements import COUNTED_MESSAGES, MessageFilter, count_requests, list_older, list_within
from imsg_history.tables import messages, requests
from imsg_history.template_words import show_request
from imsg_history.waiting import wait_for_any
from imsg_limits.concurrent_requests import ConcurrentRequests
from imsg_web.callers import Caller
from imsg_web.schemas import MAX_TOTAL

ROWS = 200
"""Messages of one read. The next read skips the rest of the request where this one ended."""

MAX_READS = 100
"""Reads for one page; the next page continues where the last one ended."""

POLL_S = 0.5
"""How often a waiting read looks: senders' outcomes may be recorded by another process."""

MAX_WAITING_READS = 8
"""Waiting reads of one user at once in one process; one more is answered at once."""

RECORDED_WITHIN = timedelta(minutes=1)
"""How long after its acceptance a request may not be recorded yet."""


class RequestList:
    """Lists the requests that have a message which fits a query."""

    def __init__(self, database: Database, now: Callable[[], datetime], stopping: asyncio.Event) -> None:
        self._database = database
        self._now = now
        self._stopping = stopping
        self._waiting = ConcurrentRequests()

    async def show(self, text: str, caller: Caller, wait_s: float = 0) -> dict[str, Any]:
        """Return a request of the caller, or (to administrators) of any user; wait up to `wait_s` until it is settled.

        Raises Refusal not_found, DatabaseUnavailable.
        """
        name = Name.read(text)
        if name is None or name.n is not None:
            raise Refusal("not_found", what=text[:64])
        wanted = MessageFilter.build(MessagesQuery(id=text), caller)
        end = monotonic() + wait_s
        with self._waiting.count(caller.user_id) as count:
            while True:
                row = await self._database.read(lambda connection: _read(connection, name.request, wanted, caller))
                left_s = end - monotonic()
                may_change = self._is_new(name.request) if row is None else row["state"] != "settled"
                if may_change and left_s > 0 and count <= MAX_WAITING_READS and not self._stopping.is_set():
                    await wait_for_any(self._stopping, within_s=min(POLL_S, left_s))
                elif row is None:
                    raise Refusal("not_found", what=name.request)
                else:
                    return row

    def _is_new(self, request: str) -> bool:
        age = self._now() - time_of(request)
        return -SKEW < age < RECORDED_WITHIN

    async def find(self, query: MessagesQuery, caller: Caller) -> Page:
        """Find a page. Raises Refusal no_right, DatabaseUnavailable."""
        wanted = MessageFilter.build(query, caller)
        page = await self._database.read(lambda connection: self._find(connection, wanted))
        return replace(page, total=await self._count(wanted)) if query.total else page

    async def _count(self, wanted: MessageFilter) -> int | None:
        counting = count_requests(wanted, is_postgres=self._database.is_postgres)
        row = None if counting is None else await self._database.first(counting)
        if row is None:
            return None
        is_known = row.messages < COUNTED_MESSAGES or row.requests > MAX_TOTAL
        return min(row.requests, MAX_TOTAL + 1) if is_known else None

    async def _find(self, connection: AsyncConnection, wanted: MessageFilter) -> Page:
        first, end = await self._walk(connection, wanted)
        shown = list(first)[: wanted.query.limit]
        if len(first) > wanted.query.limit:
            end = MessagePosition(shown[-1], LAST_N)
        rows = await _show(connection, {name: first[name] for name in shown}, wanted)
        return Page(rows, write_message_cursor(end) if end else None)

    async def _walk(
        self, connection: AsyncConnection, wanted: MessageFilter
    ) -> tuple[dict[str, Row[Any]], MessagePosition | None]:
        """Find one request more than the page holds, each with the first of its messages that fits.

        The position is where to continue; None where nothing older can fit.
        """
        name, after = wanted.query.id, wanted.after
        if name is not None:
            return await self._find_within(connection, wanted, name.request, -1 if name.n is None else name.n - 1), None
        first: dict[str, Row[Any]] = {}
        if after is not None and after.n != LAST_N:  # the last search ended within a request
            first |= await self._find_within(connection, wanted, after.request, after.n)
        for _ in range(MAX_READS):
            older = list_older(wanted, ROWS, is_postgres=self._database.is_postgres)
            rows = list(await connection.execute(older))
            for row in rows:
                if may_show(wanted, row):
                    first.setdefault(row.request, row)
            if len(rows) < ROWS:
                return first, await find_window_end(connection, wanted)
            wanted = replace(wanted, after=MessagePosition(rows[-1].request, LAST_N))
            if len(first) > wanted.query.limit:
                return first, None
        return first, wanted.after

    async def _find_within(
        self, connection: AsyncConnection, wanted: MessageFilter, request: str, after_n: int
    ) -> dict[str, Row[Any]]:
        rows = await connection.execute(list_within(wanted, request, after_n, ROWS))
        first = next((row for row in rows if may_show(wanted, row)), None)
        return {request: first} if first is not None else {}


async def _read(connection: AsyncConnection, name: str, wanted: MessageFilter, caller: Caller) -> dict[str, Any] | None:
    row = (await connection.execute(select(requests).where(requests.c.request == name))).first()
    if row is None or not may_see(row, caller):
        return None
    first = (await connection.execute(list_within(wanted, name, -1, 1))).first()
    legs = await list_legs(connection, row)
    counts, simulated = await _count(connection, [name, *(leg for leg, _, has_begun in legs if has_begun)])
    shown = _row(row, first, counts[name], wanted, is_simulated=name in simulated)
    rest = UNUSED if row.open_people == 0 else WAITING
    shown["legs"] = [
        {"id": leg, "method": method, "state": state_of(counts[leg]) if has_begun else rest}
        for leg, method, has_begun in legs
    ]
    people = {"reached": row.reached, "not_reached": row.not_reached, "open": row.open_people}
    if legs and row.open_people is None:
        people = {"reached": 0, "not_reached": 0, "open": shown["recipients"]}
    if legs and people["open"] and shown["state"] == "settled":
        shown["state"] = "sending"
    return shown | people


STATES = (Status.SCHEDULED, Status.HELD, Status.QUEUED)
"""States that are named as the one status of all messages that were not cancelled."""


def state_of(counts: Counter[Status]) -> str:
    """Return the state of a request by the statuses of its messages."""
    if all(status in SETTLED for status in counts):
        return "settled"
    waiting = {status for status in counts if status is not Status.CANCELLED}
    return "sending" if len(waiting) > 1 or waiting.isdisjoint(STATES) else waiting.pop().value


async def _show(
    connection: AsyncConnection, first: Mapping[str, Row[Any]], wanted: MessageFilter
) -> list[dict[str, Any]]:
    of = {row.request: row for row in await connection.execute(select(requests).where(requests.c.request.in_(first)))}
    counts, simulated = await _count(connection, list(of))
    return [
        _row(of[name], first[name], counts[name], wanted, is_simulated=name in simulated)
        for name in first
        if name in of
    ]


async def _count(
    connection: AsyncConnection, names: Sequence[str]
) -> tuple[Mapping[str, Counter[Status]], Collection[str]]:
    """Count the messages of requests by status, and find the requests of which the sandbox took a message."""
    is_simulated = func.max(messages.c.simulated).label("simulated")
    counting = (
        select(messages.c.request, messages.c.status, func.count().label("messages"), is_simulated)
        .where(messages.c.request.in_(names))
        .group_by(messages.c.request, messages.c.status)
    )
    counts: defaultdict[str, Counter[Status]] = defaultdict(Counter)
    simulated = set[str]()
    for row in await connection.execute(counting):
        counts[row.request][Status(row.status)] = row.messages
        if row.simulated:
            simulated.add(row.request)
    return counts, simulated


def _row(
    request: Row[Any], first: Row[Any] | None, counts: Counter[Status], wanted: MessageFilter, *, is_simulated: bool
) -> dict[str, Any]:
    """Return a request as the caller of the filter may see it."""
    state = state_of(counts)
    shown = {
        "id": request.request,
        "username": request.username,
        "method": request.method,
        "category": request.category,
        "reference": request.reference,
        "key": request.key,
        "test": request.lane == Lane.TEST,
        "simulated": is_simulated,
        "subject": request.subject,
        "content": show_request(request.content),
        "attachments": json.loads(request.attachments),
        "resend_of": request.resend_of,
        "to": None if first is None else first.written,
        "recipients": counts.total(),
        "state": state,
        "counts": {status.value: counts[status] for status in Status},
        "created_at": rfc3339(time_of(request.request)),
        "leg": request.leg,
        "leg_of": request.leg_of,
        **show_times(request, is_held=state == Status.HELD),
    }
    return shown if wanted.sees_content else shown | NO_CONTENT
