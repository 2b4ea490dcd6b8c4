"""A fair queue of log-ins for password hashing: known networks first, then unknown ones in turn."""

import asyncio
import math
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imsg_contract.errors import Refusal

SLOTS = 2
"""Hashes computed at once: each takes a core and 19 MiB."""

WAIT_S = 8.0
"""How long a log-in may wait for its turn."""

MAX_WAITING_EACH = 16
"""The most log-ins of one network that wait; more are refused at once."""

MAX_WAITING = 1_024
"""The most log-ins from unknown networks that wait: two slots hash some 60 a second, and `WAIT_S` refuses the rest."""

Waiter = asyncio.Future[None]


class FairQueue:
    """A flood of invented names from some networks delays a log-in from another network by one hash of each at most.

    From a network that its user has not logged in from, every name waits alike, so that the wait reveals nothing.
    """

    def __init__(self, slots: int = SLOTS, wait_s: float = WAIT_S) -> None:
        self._free = slots
        self._wait_s = wait_s
        self._known: deque[Waiter] = deque()
        self._unknown: OrderedDict[str, deque[Waiter]] = OrderedDict()

    @asynccontextmanager
    async def acquire(self, unknown_network: str | None = None) -> AsyncIterator[None]:
        """Hold a slot inside the block; `unknown_network` is the log-in's, None for a known one.

        Raises Refusal unavailable.
        """
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(unknown_network)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, unknown_network: str | None) -> None:
        waiter: Waiter = asyncio.get_running_loop().create_future()
        queue = self._known if unknown_network is None else self._queue(unknown_network)
        queue.append(waiter)
        try:
            async with asyncio.timeout(self._wait_s):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self._release()  # it had just come
            elif waiter in queue:
                queue.remove(waiter)
                self._forget(unknown_network)
            if isinstance(error, TimeoutError):
                raise _unavailable(self._wait_s) from error
            raise

    def _queue(self, unknown_network: str) -> deque[Waiter]:
        queue = self._unknown.setdefault(unknown_network, deque())
        if len(queue) >= MAX_WAITING_EACH or sum(map(len, self._unknown.values())) >= MAX_WAITING:
            self._forget(unknown_network)
            raise _unavailable(self._wait_s)
        return queue

    def _forget(self, unknown_network: str | None) -> None:
        if unknown_network is not None and not self._unknown.get(unknown_network, True):
            del self._unknown[unknown_network]

    def _release(self) -> None:
        """Pass a free slot to the next in the queue."""
        while (waiter := self._pop_next()) is not None:
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1

    def _pop_next(self) -> Waiter | None:
        if self._known:
            return self._known.popleft()
        if not self._unknown:
            return None
        network, queue = self._unknown.popitem(last=False)
        waiter = queue.popleft()
        if queue:
            self._unknown[network] = queue  # behind the other networks
        return waiter


def _unavailable(wait_s: float) -> Refusal:
    return Refusal("unavailable", retry_after_s=math.ceil(wait_s))
