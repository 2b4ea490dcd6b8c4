"""Running and ending the tasks of a broker adapter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from imsg_broker.deliveries import Deliveries


class Consumer(Protocol):
    """The consumer of one queue."""

    deliveries: Deliveries

    async def run(self) -> None:
        """Consume until cancelled."""
        ...


AnyConsumer = TypeVar("AnyConsumer", bound=Consumer)


@asynccontextmanager
async def run_consumer(consumer: AnyConsumer, among: set[AnyConsumer], queue: str) -> AsyncIterator[Deliveries]:
    """Run a consumer while the context lasts, and list it in `among` meanwhile."""
    among.add(consumer)
    task = asyncio.create_task(consumer.run(), name=f"consume:{queue}")
    task.add_done_callback(lambda ended: consumer.deliveries.end(find_failure(ended)))
    try:
        yield consumer.deliveries
    finally:
        among.discard(consumer)
        await end(task)


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has ended; its exception is not raised."""
    task.cancel()
    await asyncio.wait({task})


def find_failure(task: asyncio.Task[None]) -> BaseException | None:
    """Return what an ended task raised; None where it was cancelled or ended well."""
    return None if task.cancelled() else task.exception()
