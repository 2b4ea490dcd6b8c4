"""The clock of the running event loop, moved or stopped by the test: a wait ends when the test says so.

So a time-out may be long, and runs out once the test has seen what it waits for, however long the machine stands still.
It is for asyncio's own loop, whose timers read its `time`; uvloop's do not.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

STEP_S = 0.02


def pass_time(seconds: float) -> None:
    """Move the running loop's clock on: what waits for less is over."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]


class StoppedClock:
    """A clock that the test moves."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def run_until(self, task: asyncio.Task[object]) -> float:
        """Let time pass, no faster than it does, until a task is done; return how much has passed."""
        began = self.now
        while not task.done():
            await asyncio.to_thread(time.sleep, STEP_S)
            self.now += STEP_S
        return self.now - began


@contextmanager
def stopped_clock() -> Iterator[StoppedClock]:
    """Stop the running loop's clock; afterwards it goes on from where it is."""
    loop = asyncio.get_running_loop()
    before = loop.time
    clock = StoppedClock(before())
    loop.time = clock  # type: ignore[method-assign]
    try:
        yield clock
    finally:
        behind_s = before() - clock.now
        loop.time = lambda: before() - behind_s  # type: ignore[method-assign]
