"""How long one turn of an event loop holds its thread, in processor time, which a busy machine does not change."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

MAX_TURN_S = 0.05
"""What no turn may take: other clients, the heartbeat of the broker and the health check wait for it."""


@dataclass(slots=True)
class Turns:
    """The turns so far."""

    longest_s: float = 0.0


@asynccontextmanager
async def measured_turns() -> AsyncIterator[Turns]:
    """Measure the running loop's turns: a callback of every turn reads the processor time of the loop's thread.

    What other tests have left is no garbage to look through meanwhile: no service has so much.
    """
    gc.collect()
    gc.freeze()
    loop, turns, before, is_over = asyncio.get_running_loop(), Turns(), time.thread_time(), False

    def begin_turn() -> None:
        nonlocal before
        now = time.thread_time()
        turns.longest_s = max(turns.longest_s, now - before)
        before = now
        if not is_over:
            loop.call_soon(begin_turn)

    begin_turn()
    try:
        yield turns
    finally:
        is_over = True
        begin_turn()
