"""Waiting for events, for a bounded time."""

import asyncio


async def wait_for_any(*events: asyncio.Event, within_s: float) -> None:
    """Wait until one of the events is set, or the time is up."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
