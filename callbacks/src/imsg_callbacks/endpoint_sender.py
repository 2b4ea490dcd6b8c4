"""Sends the due deliveries of one endpoint, with a bound of concurrent calls."""

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
"""Calls in flight to one endpoint, from one process."""

FAILING_AFTER = 3
"""Failures in a row after which an endpoint gets one call at a time."""

MAX_WAITING = 128
"""Deliveries of one endpoint that wait in memory."""

LEASE_EVERY_S = 0.1
"""How long to wait after a query that left no due delivery in the table."""

LEASE_MS = 90_000
"""How long a delivery is leased. Deliveries that were not tried by then are leased again."""

BEGIN_WITHIN_S = LEASE_MS / 1_000 - TIMEOUT_S - 1
"""How long after the lease a call may begin, so that it ends within the lease."""

LeaseDue = Callable[[str, int, int], Awaitable[Sequence[DueDelivery]]]
"""(Endpoint, maximum count, lease in ms) → due deliveries, leased. Raises DatabaseUnavailable."""

Send = Callable[[DueDelivery, bool], Coroutine[Any, Any, EndpointReply]]
"""(Delivery, whether its endpoint is failing) → the reply, which the callee records."""


class EndpointSender:
    """Sends to one endpoint until nothing is due."""

    def __init__(self, endpoint: str, lease: LeaseDue, send: Send, failures: int, find_room: Callable[[], int]) -> None:
        """Begin with `failures`, the endpoint's failures in a row so far.

        `find_room` returns how many more deliveries of all endpoints may wait in memory.
        """
        self._endpoint = endpoint
        self._lease = lease
        self._find_room = find_room
        self._send = send
        self._failures = failures
        self._waiting: deque[tuple[DueDelivery, float]] = deque()
        """Leased deliveries, each with the latest time for its call to begin (monotonic)."""
        self._calls: set[asyncio.Task[EndpointReply]] = set()
        self._has_more = False
        """Whether the table may hold more due deliveries."""
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._bug: BaseException | None = None

    @property
    def waiting(self) -> int:
        """The number of deliveries that wait in memory."""
        return len(self._waiting)

    @property
    def capacity(self) -> int:
        """How many more deliveries `enqueue` takes: none while the endpoint fails."""
        return 0 if self._is_failing else MAX_WAITING - len(self._waiting)

    def enqueue(self, leased: Sequence[DueDelivery]) -> None:
        """Send deliveries that were leased just now."""
        begin_by = time.monotonic() + BEGIN_WITHIN_S
        self._waiting.extend((due, begin_by) for due in leased)
        self._start_calls()

    def wake(self) -> None:
        """Query the table again."""
        self._has_more = True
        self._changed.set()

    def stop(self) -> None:
        """Start no more calls. Deliveries that wait are leased again once their lease has ended."""
        self._is_stopping = True
        self._waiting.clear()
        self._changed.set()

    async def run(self) -> None:
        """Send until nothing is due, or until `stop`; then wait for the calls in flight."""
        try:
            while not self._is_stopping:
                self._changed.clear()
                if self._bug is not None:
                    raise self._bug
                if self._has_more and not self._waiting and len(self._calls) < self._max_calls:
                    await self._lease_more()
                    await asyncio.sleep(0 if self._has_more else LEASE_EVERY_S)
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

    async def _lease_more(self) -> None:
        count = 1 if self._is_failing else max(AT_ONCE, min(MAX_WAITING, self._find_room()))
        self._has_more = False
        try:
            leased = await self._lease(self._endpoint, count, LEASE_MS)
        except DatabaseUnavailable as error:
            log.debug("database_unavailable", why=str(error)[:300])
            return  # the dispatcher warns
        self._has_more = self._has_more or len(leased) == count
        self.enqueue(leased)

    def _start_calls(self) -> None:
        while self._waiting and len(self._calls) < self._max_calls and not self._is_stopping:
            due, begin_by = self._waiting.popleft()
            if time.monotonic() >= begin_by:
                self._has_more = True  # it is leased again later
                continue
            call = asyncio.create_task(self._send(due, self._is_failing))
            self._calls.add(call)
            call.add_done_callback(self._record_reply)

    def _record_reply(self, call: asyncio.Task[EndpointReply]) -> None:
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
        self._start_calls()
