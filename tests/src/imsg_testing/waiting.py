"""Wait for a condition, with a bound, because tests must not sleep."""

import asyncio
import time
from collections.abc import Awaitable, Callable


def wait(
    holds: Callable[[], bool],
    within_s: float = 60.0,
    every_s: float = 0.02,
    why: Callable[[], str] = lambda: "it did not come true in time",
) -> None:
    """Wait until a condition holds. Raises AssertionError with `why()` when it does not in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, why()
        time.sleep(every_s)


async def eventually(holds: Callable[[], Awaitable[object]], within_s: float = 60.0) -> None:
    """Wait until a condition answers something true. Raises TimeoutError when it does not in time."""
    async with asyncio.timeout(within_s):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)
