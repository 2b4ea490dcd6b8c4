"""Waiting for a condition, with a bound, where a test must not sleep."""

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(holds: Callable[[], Awaitable[object]], within_s: float = 5.0) -> None:
    """Return once the condition answers something true. Raises TimeoutError when it does not in time."""
    async with asyncio.timeout(within_s):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.02)
