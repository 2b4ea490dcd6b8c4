"""One endpoint being served: what was handed over, and what is due in the table, sent within its own bound."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from imsg_callbacks.endpoint_client import TIMEOUT_S
from imsg_callbacks.outcomes import Due
from imsg_callbacks.schedule import EndpointReply
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import logger

log = logger(__name__)

AT_ONCE = 8
"""Calls of one endpoint in flight, of one process."""

FAILING_AFTER = 3
"""Failures in a row after which it is one call at a time."""

HELD = 64
"""Deliveries of one endpoint that wait in memory, and are taken from the table in one transaction."""

MOST_HELD = 2_048
TAKEN_AT_ONCE = 500
"""The same of one that answers so fast that they are sent within `SENT_WITHIN_MS`: what waits in the table is looked
for, locked, leased and read there, which costs as much as all else that a callback needs of the database."""

SENT_WITHIN_MS = 10_000

HELD_IN_ALL = 8_192
"""Deliveries of all endpoints that wait in memory; what is more waits in the table."""

TAKE_EVERY_S = 0.1
"""How often more is taken from the table for an endpoint: a transaction each."""

LEASE_MS = 90_000
"""For how long what was taken is ours. What could not be tried in that time, since an endpoint is slow, is left."""

BEGUN_WITHIN_S = LEASE_MS / 1_000 - TIMEOUT_S - 1
"""How long after it was taken a call may begin: then it has ended before the lease does."""

SMOOTHED_OVER = 8
"""Calls."""

PACES = 4_096
"""Endpoints whose pace is remembered."""

Take = Callable[[str, int, int], Awaitable[Sequence[Due]]]
"""Endpoint, how many at most, lease in ms → what is due. Raises DatabaseUnavailable."""

Send = Callable[[Due, bool], Coroutine[Any, Any, EndpointReply]]
"""A delivery, and whether its endpoint is failing → what came of it, which is kept by then or will be."""


class Held:
    """What waits in memory, of all endpoints: how much it is, and how much of each it may be by how fast it answers."""

    def __init__(self) -> None:
        self.count = 0
        self._took_ms: OrderedDict[str, float] = OrderedDict()

    @property
    def room(self) -> int:
        """How many more may wait."""
        return max(0, HELD_IN_ALL - self.count)

    def note(self, name: str, took_ms: int) -> None:
        """Note a call of an endpoint; who was called longest ago is forgotten."""
        known_ms = self._took_ms.get(name, took_ms)
        self._took_ms[name] = known_ms + (took_ms - known_ms) / SMOOTHED_OVER
        self._took_ms.move_to_end(name)
        if len(self._took_ms) > PACES:
            self._took_ms.popitem(last=False)

    def find_bound(self, name: str, own: int) -> int:
        """Say how many deliveries may wait for an endpoint of which `own` wait already.

        What it may have beyond `HELD` all endpoints share: fast ones that hang from now on leave the others theirs.
        """
        took_ms = self._took_ms.get(name)
        if took_ms is None:
            return HELD
        shared = MOST_HELD - (self.count - own)
        return max(HELD, min(shared, round(AT_ONCE * SENT_WITHIN_MS / max(took_ms, 1))))


class Serving:
    """Serves one endpoint until nothing is left to be sent."""

    def __init__(self, name: str, take: Take, send: Send, held: Held, failures: int) -> None:
        """`failures`: how often it has failed in a row, as far as the table knows; from here on it is counted."""
        self._name = name
        self._take = take
        self._send = send
        self._held = held
        self._failures = failures
        self._waiting: deque[tuple[Due, float]] = deque()
        """What is ours, and until when it may be begun (monotonic)."""
        self._calls: set[asyncio.Task[EndpointReply]] = set()
        self._has_more = False
        """Whether the table may hold what is due and not ours."""
        self._news = asyncio.Event()
        self._is_ending = False
        self._bug: BaseException | None = None

    @property
    def room(self) -> int:
        """How much more may be handed over; none of what fails, which waits in the table."""
        own = len(self._waiting)
        return 0 if self._is_failing else self._held.find_bound(self._name, own) - own

    def give(self, some: Sequence[Due]) -> None:
        """Hand over what is ours from now on, and begin with it."""
        until = time.monotonic() + BEGUN_WITHIN_S
        self._waiting.extend((due, until) for due in some)
        self._held.count += len(some)
        self._begin()

    def look(self) -> None:
        """Say that there is something in the table."""
        self._has_more = True
        self._news.set()

    def end(self) -> None:
        """Begin nothing more."""
        self._is_ending = True
        self._drop()
        self._news.set()

    async def run(self) -> None:
        """Serve until nothing is left, or until `end`."""
        try:
            while not self._is_ending:
                self._news.clear()
                if self._bug is not None:
                    raise self._bug
                if self._has_more and not self._waiting and len(self._calls) < self._bound:
                    await self._take_more()
                    await asyncio.sleep(0 if self._has_more else TAKE_EVERY_S)
                elif not self._waiting and not self._calls:
                    return
                else:
                    await self._news.wait()
        finally:
            self._drop()
            if self._calls:
                await asyncio.wait(self._calls, timeout=TIMEOUT_S + 1)

    @property
    def _is_failing(self) -> bool:
        return self._failures >= FAILING_AFTER

    @property
    def _bound(self) -> int:
        return 1 if self._is_failing else AT_ONCE

    async def _take_more(self) -> None:
        # Of what fails, what one call after another can try within the lease; else some, however many wait of others.
        room = min(TAKEN_AT_ONCE, max(HELD, self._held.room))
        most = 1 if self._is_failing else min(self._held.find_bound(self._name, 0), room)
        self._has_more = False
        try:
            taken = await self._take(self._name, most, LEASE_MS)
        except DatabaseUnavailable as away:
            log.debug("database_unavailable", why=str(away)[:300])
            return  # whoever looks for what is due says so
        self._has_more = self._has_more or len(taken) == most
        self.give(taken)

    def _begin(self) -> None:
        while self._waiting and len(self._calls) < self._bound and not self._is_ending:
            due, until = self._waiting.popleft()
            self._held.count -= 1
            if time.monotonic() >= until:
                self._has_more = True  # its lease ends: whoever takes it next sends it
                continue
            call = asyncio.create_task(self._send(due, self._is_failing))
            self._calls.add(call)
            call.add_done_callback(self._end)

    def _end(self, call: asyncio.Task[EndpointReply]) -> None:
        self._calls.discard(call)
        self._news.set()
        if call.cancelled():
            return
        if (bug := call.exception()) is not None:
            self._bug = bug
            return
        answer = call.result()
        self._failures = 0 if answer.is_success else self._failures + 1
        self._held.note(self._name, answer.took_ms)
        if answer.is_gone:
            self._drop()
        self._begin()

    def _drop(self) -> None:
        """Leave what waits to whoever takes it once its lease has ended."""
        self._held.count -= len(self._waiting)
        self._waiting.clear()
