"""Recording: what the broker brings for history is gathered in batches, kept, and then acked."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram

from imsg_broker.port import Broker, Delivery, Unreachable
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.writer import BatchWriter
from imsg_runtime.back_off import back_off_s
from imsg_runtime.observe import logger

log = logger(__name__)

BATCH = 256
"""Deliveries folded into one transaction."""

BATCH_BYTES = 1024 * 1024
"""A batch is closed at so many bytes: two requests of 10,000 recipients."""

GATHER_S = 0.005
"""How long a batch waits for more after its first: well below the second in which a request must show."""

PREFETCH = 2 * BATCH
"""One batch at the database while the next gathers."""

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 5.0


class Counts:
    """What the recorder tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.deliveries = Counter("imsg_history_events_total", "Deliveries recorded", registry=registry)
        self.seconds = Histogram(
            "imsg_history_batch_duration_seconds", "Time from a batch to its commit", registry=registry
        )


@dataclass(frozen=True, slots=True)
class HistoryConsumer:
    """Takes from history's queue until it is stopped.

    While the database is away nothing is acked: the prefetch bounds what is held, and the batch is tried again with
    back-off.
    """

    broker: Broker
    batch_writer: BatchWriter
    counts: Counts

    async def run(self, stopping: asyncio.Event) -> None:
        """Record until `stopping`; what is not acked by then comes again."""
        async with (
            self.broker.consume(self.broker.topology.history, PREFETCH) as deliveries,
            aclosing(_batches(deliveries, stopping)) as batches,
        ):
            async for batch in batches:
                await self._settle(batch, stopping)

    async def _settle(self, batch: Sequence[Delivery], stopping: asyncio.Event) -> None:
        failures = 0
        while batch:
            try:
                with self.counts.seconds.time():
                    await self.batch_writer.keep(batch)
            except DatabaseUnavailable as away:
                log.warning("database_unavailable", why=str(away)[:300], waiting=len(batch))
                failures += 1
                draw = random.random()  # noqa: S311  jitter
                wait_s = back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S)
                if await _wait_for_stop(stopping, wait_s):
                    return
                batch = [delivery for delivery in batch if delivery.held]
                continue
            for delivery in batch:  # an ack waits for nobody: a task each would be the dearest part of it
                await self._ack(delivery)
            self.counts.deliveries.inc(len(batch))
            return

    async def _ack(self, delivery: Delivery) -> None:
        with suppress(Unreachable):  # handed back meanwhile: it comes again, and changes nothing
            await self.broker.ack(delivery)


async def _batches(
    deliveries: AsyncIterator[Delivery], stopping: asyncio.Event
) -> AsyncGenerator[list[Delivery], None]:
    """Gather deliveries: a batch ends when it is full, or shortly after its first."""
    arrived: asyncio.Queue[Delivery] = asyncio.Queue()

    async def receive() -> None:
        async for delivery in deliveries:
            arrived.put_nowait(delivery)  # no bound of its own: the prefetch is one

    receiving = asyncio.create_task(receive())
    stopped = asyncio.create_task(stopping.wait())
    try:
        while not stopping.is_set():
            first = asyncio.create_task(arrived.get())
            await asyncio.wait({first, receiving, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                first.cancel()
                if receiving.done():
                    receiving.result()
                return
            yield await _gather(first.result(), arrived)
    finally:
        receiving.cancel()
        stopped.cancel()
        await asyncio.gather(receiving, stopped, return_exceptions=True)


async def _gather(first: Delivery, arrived: asyncio.Queue[Delivery]) -> list[Delivery]:
    batch, size = [first], len(first.body)
    with suppress(TimeoutError):
        async with asyncio.timeout(GATHER_S):
            while len(batch) < BATCH and size < BATCH_BYTES:
                delivery = await arrived.get()
                batch.append(delivery)
                size += len(delivery.body)
    return batch


async def _wait_for_stop(stopping: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
    return stopping.is_set()
