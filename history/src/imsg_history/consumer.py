"""The consumer of history's queue: deliveries are gathered into batches, written, and then acknowledged."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from imsg_broker.port import Broker, Delivery, Unreachable
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.waiting import wait_for_any
from imsg_history.writer import BatchWriter
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

BATCH = 512
"""Deliveries of one transaction."""

BATCH_BYTES = 1024 * 1024
"""Bytes at which a batch is complete: two requests of 10,000 recipients."""

GATHER_S = 0.005
"""How long a batch waits for more deliveries after its first, while few arrive."""

BUSY_GATHER_S = 0.25
"""The same while many arrive: a transaction, and those that follow from it (events, their rows in callbacks), costs as
much as dozens of messages, and several facts of one message become one row. Well below the second within which a
request must be listed."""

QUIET_S = 0.05
"""A batch in which nothing arrived for so long is complete."""

BUSY_SIZE = 8
"""Deliveries of a batch after which the next one waits longer."""

STAY_BUSY_SIZE = 20
"""Deliveries of a batch that waited longer, after which the next one does too: eighty a second."""

PREFETCH = 2 * BATCH
"""One batch is written while the next one gathers."""

FIRST_WAIT_S = 0.05
MAX_WAIT_S = 5.0


class ConsumerMetrics:
    """Metrics of the consumer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.deliveries = Counter("imsg_history_events_total", "Deliveries recorded", registry=registry)
        self.seconds = Histogram(
            "imsg_history_batch_duration_seconds", "Time from a batch to its commit", registry=registry
        )


@dataclass(frozen=True, slots=True)
class HistoryConsumer:
    """Consumes history's queue until it is stopped.

    While the database is unavailable, nothing is acknowledged: the prefetch bounds the held deliveries, and the batch
    is written again with back-off.
    """

    broker: Broker
    batch_writer: BatchWriter
    metrics: ConsumerMetrics

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping`; what is not acknowledged by then is delivered again."""
        async with (
            self.broker.consume(self.broker.topology.history, PREFETCH) as deliveries,
            aclosing(_batches(deliveries, stopping)) as batches,
        ):
            async for batch in batches:
                await self._write(batch, stopping)

    async def _write(self, batch: Sequence[Delivery], stopping: asyncio.Event) -> None:
        failures, problem = 0, RecurringProblem(log, "database_unavailable")
        while batch:
            try:
                with self.metrics.seconds.time():
                    await self.batch_writer.write(batch)
            except DatabaseUnavailable as error:
                problem.report(error, waiting=len(batch))
                failures += 1
                draw = random.random()  # noqa: S311  jitter
                wait_s = back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=MAX_WAIT_S)
                await wait_for_any(stopping, within_s=wait_s)
                if stopping.is_set():
                    return
                batch = [delivery for delivery in batch if delivery.held]
                continue
            problem.clear()
            for delivery in batch:  # an ack does not wait; a task each would be costly
                await self._ack(delivery)
            self.metrics.deliveries.inc(len(batch))
            return

    async def _ack(self, delivery: Delivery) -> None:
        with suppress(Unreachable):  # requeued meanwhile: it is delivered again, and changes nothing
            await self.broker.ack(delivery)


def next_gather_s(gather_s: float, size: int) -> float:
    """Return how long the next batch gathers, after one of `size` deliveries that gathered for `gather_s`."""
    return BUSY_GATHER_S if size >= (BUSY_SIZE if gather_s < BUSY_GATHER_S else STAY_BUSY_SIZE) else GATHER_S


async def _batches(
    deliveries: AsyncIterator[Delivery], stopping: asyncio.Event
) -> AsyncGenerator[list[Delivery], None]:
    """Gather deliveries into batches."""
    buffer = _Buffer()

    async def receive() -> None:
        async for delivery in deliveries:
            buffer.add(delivery)  # bounded by the prefetch

    receiving = asyncio.create_task(receive())
    stopped = asyncio.create_task(stopping.wait())
    gather_s = GATHER_S
    try:
        while not stopping.is_set():
            if not await _wait_for(buffer.any, receiving, stopped):
                if receiving.done():
                    receiving.result()
                return
            await _gather(buffer, gather_s, receiving, stopped)
            batch = buffer.pop_batch()
            gather_s = next_gather_s(gather_s, len(batch))
            yield batch
    finally:
        receiving.cancel()
        stopped.cancel()
        await asyncio.gather(receiving, stopped, return_exceptions=True)


async def _gather(buffer: "_Buffer", within_s: float, *ends: asyncio.Task[Any]) -> None:
    """Wait until the buffer is full, nothing more arrives, the time is up, or one of `ends` is done."""
    loop = asyncio.get_running_loop()
    until, seen = loop.time() + within_s, 0
    while seen < len(buffer) and (left_s := until - loop.time()) > 0:
        seen = len(buffer)
        if await _wait_for(buffer.full, *ends, within_s=min(QUIET_S, left_s)):
            return


class _Buffer:
    """Deliveries that are in no batch yet."""

    def __init__(self) -> None:
        self.any = asyncio.Event()
        self.full = asyncio.Event()
        """Set while the buffer holds a full batch."""
        self._deliveries: deque[Delivery] = deque()
        self._size = 0

    def __len__(self) -> int:
        """Return the number of deliveries."""
        return len(self._deliveries)

    def add(self, delivery: Delivery) -> None:
        """Add a delivery."""
        self._deliveries.append(delivery)
        self._size += len(delivery.body)
        self.any.set()
        if len(self._deliveries) >= BATCH or self._size >= BATCH_BYTES:
            self.full.set()

    def pop_batch(self) -> list[Delivery]:
        """Remove and return a batch."""
        batch: list[Delivery] = []
        size = 0
        while self._deliveries and len(batch) < BATCH and size < BATCH_BYTES:
            delivery = self._deliveries.popleft()
            batch.append(delivery)
            size += len(delivery.body)
        self._size -= size
        if not self._deliveries:
            self.any.clear()
        if len(self._deliveries) < BATCH and self._size < BATCH_BYTES:
            self.full.clear()
        return batch


async def _wait_for(event: asyncio.Event, *ends: asyncio.Task[Any], within_s: float | None = None) -> bool:
    """Wait for an event, until one of `ends` is done or the time is up; return whether the event is set."""
    if event.is_set():
        return True
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({waiting, *ends}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    return event.is_set()
