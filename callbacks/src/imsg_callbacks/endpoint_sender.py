"""Sends what is due to one endpoint, within a bound of its own."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from imsg_callbacks.endpoint_client import TIMEOUT_S
from imsg_callbacks.records import DueDelivery
from imsg_callbacks.schedule import EndpointReply
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import logger

log = logger(__name__)

AT_ONCE = 8
"""Calls of one endpoint in flight, of one process."""

FAILING_AFTER = 3
"""Failures in a row after which an endpoint is called once at a time."""

MAX_WAITING = 128
"""Deliveries of one endpoint that wait in memory: handed over with their insert, or taken from the table at once."""

TAKE_EVERY_S = 0.1
"""How long to wait after a take that emptied the table."""

LEASE_MS = 90_000
"""How long a delivery that was taken belongs to this process. Those that a slow endpoint leaves untried are taken
again after it."""

BEGIN_WITHIN_S = LEASE_MS / 1_000 - TIMEOUT_S - 1
"""How long after the take a call may begin: it then ends before its lease."""

Take = Callable[[str, int, int], Awaitable[Sequence[DueDelivery]]]
"""Endpoint, how many at most, lease in ms → what is due. Raises DatabaseUnavailable."""

Send = Callable[[DueDelivery, bool], Coroutine[Any, Any, EndpointReply]]
"""A delivery, and whether its endpoint is failing → the reply, which is recorded by then or will be."""


class EndpointSender:
    """Sends to one endpoint until nothing is due."""

    def __init__(self, endpoint: str, take: Take, send: Send, failures: int) -> None:
        """`failures`: how often the endpoint has failed in a row by the table; from now on it is counted here."""
        self._endpoint = endpoint
        self._take = take
        self._send = send
        self._failures = failures
        self._waiting: deque[tuple[DueDelivery, float]] = deque()
        """Leased deliveries, and until when their calls may begin (monotonic)."""
        self._calls: set[asyncio.Task[EndpointReply]] = set()
        self._has_more = False
        """Whether the table may hold more that is due."""
        self._changed = asyncio.Event()
        self._is_ending = False
        self._bug: BaseException | None = None

    @property
    def waiting(self) -> int:
        """How many deliveries wait in memory."""
        return len(self._waiting)

    @property
    def room(self) -> int:
        """How many more may be handed over: none while the endpoint fails."""
        return 0 if self._is_failing else MAX_WAITING - len(self._waiting)

    def enqueue(self, leased: Sequence[DueDelivery]) -> None:
        """Send deliveries that were leased just now."""
        until = time.monotonic() + BEGIN_WITHIN_S
        self._waiting.extend((due, until) for due in leased)
        self._begin()

    def wake(self) -> None:
        """Look into the table again."""
        self._has_more = True
        self._changed.set()

    def end(self) -> None:
        """Begin no more calls. What was taken is taken again once its lease has ended."""
        self._is_ending = True
        self._waiting.clear()
        self._changed.set()

    async def run(self) -> None:
        """Send until nothing is due, or until `end`; then wait for the calls in flight."""
        try:
            while not self._is_ending:
                self._changed.clear()
                if self._bug is not None:
                    raise self._bug
                if self._has_more and not self._waiting and len(self._calls) < self._max_calls:
                    await self._take_more()
                    await asyncio.sleep(0 if self._has_more else TAKE_EVERY_S)
                elif not self._waiting and not self._calls:
                    return
                else:
                    await self._changed.wait()
        finally:
            if self._calls:
                await asyncio.wait(self._calls, timeout=TIMEOUT_S + 1)

    @property
    def _is_failing(self) -> bool:
        return self._failures >= FAILING_AFTER

    @property
    def _max_calls(self) -> int:
        return 1 if self._is_failing else AT_ONCE

    async def _take_more(self) -> None:
        count = 1 if self._is_failing else MAX_WAITING
        self._has_more = False
        try:
            taken = await self._take(self._endpoint, count, LEASE_MS)
        except DatabaseUnavailable as error:
            log.debug("database_unavailable", why=str(error)[:300])
            return  # the dispatcher, which looks for what is due, says so
        self._has_more = self._has_more or len(taken) == count
        self.enqueue(taken)

    def _begin(self) -> None:
        while self._waiting and len(self._calls) < self._max_calls and not self._is_ending:
            due, until = self._waiting.popleft()
            if time.monotonic() >= until:
                self._has_more = True  # it is taken again once its lease has ended
                continue
            call = asyncio.create_task(self._send(due, self._is_failing))
            self._calls.add(call)
            call.add_done_callback(self._note)

    def _note(self, call: asyncio.Task[EndpointReply]) -> None:
        self._calls.discard(call)
        self._changed.set()
        if call.cancelled():
            return
        if (bug := call.exception()) is not None:
            self._bug = bug
            return
        reply = call.result()
        self._failures = 0 if reply.is_success else self._failures + 1
        if reply.is_gone:
            self._waiting.clear()
        self._begin()
