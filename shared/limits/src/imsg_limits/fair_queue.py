"""Turns at hashing, few at once: whoever is known comes first, strangers by their network in turn."""

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

EACH_WAITS = 16
"""How many of one network may wait; more are refused at once."""

ALL_WAIT = 1_024
"""How many strangers may wait in all: two slots hash some 60 a second, and `WAIT_S` refuses the rest."""

Turn = asyncio.Future[None]


class FairQueue:
    """A fair queue: a flood of made-up names from some networks delays a stranger by one hash of each of them at most.

    Every name is treated alike from a network that its user has not logged in from, so that waiting tells nothing.
    """

    def __init__(self, slots: int = SLOTS, wait_s: float = WAIT_S) -> None:
        self._free = slots
        self._wait_s = wait_s
        self._known: deque[Turn] = deque()
        self._strangers: OrderedDict[str, deque[Turn]] = OrderedDict()

    @asynccontextmanager
    async def take(self, stranger: str | None = None) -> AsyncIterator[None]:
        """Wait for a turn and keep it; `stranger` names a stranger's network. Raises Refusal unavailable."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(stranger)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, stranger: str | None) -> None:
        turn: Turn = asyncio.get_running_loop().create_future()
        queue = self._known if stranger is None else self._queue(stranger)
        queue.append(turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it had just come
            elif turn in queue:
                queue.remove(turn)
                self._forget(stranger)
            if isinstance(error, TimeoutError):
                raise _unavailable(self._wait_s) from error
            raise

    def _queue(self, stranger: str) -> deque[Turn]:
        queue = self._strangers.setdefault(stranger, deque())
        if len(queue) >= EACH_WAITS or sum(map(len, self._strangers.values())) >= ALL_WAIT:
            self._forget(stranger)
            raise _unavailable(self._wait_s)
        return queue

    def _forget(self, stranger: str | None) -> None:
        if stranger is not None and not self._strangers.get(stranger, True):
            del self._strangers[stranger]

    def _pass_on(self) -> None:
        """Give a turn that has ended to who comes next."""
        while (turn := self._next()) is not None:
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _next(self) -> Turn | None:
        if self._known:
            return self._known.popleft()
        if not self._strangers:
            return None
        network, queue = self._strangers.popitem(last=False)
        turn = queue.popleft()
        if queue:
            self._strangers[network] = queue  # behind the other networks
        return turn


def _unavailable(wait_s: float) -> Refusal:
    return Refusal("unavailable", retry_after_s=math.ceil(wait_s))
