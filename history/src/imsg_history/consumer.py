"""Recording: what the broker brings for history is gathered in batches, kept, and then acked."""

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
from imsg_history.writer import BatchWriter
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import Recurring, logger

log = logger(__name__)

BATCH = 512
"""Deliveries folded into one transaction."""

BATCH_BYTES = 1024 * 1024
"""A batch is closed at so many bytes: two requests of 10,000 recipients."""

GATHER_S = 0.005
"""How long a batch waits for more after its first, while few come."""

LONGER_S = 0.25
"""The same while many come: each transaction, and each that follows from it (events told, their rows in callbacks),
costs what dozens of messages do; and what becomes of a message within it is folded into the row that is written anyway.
Well below the second in which a request must show."""

QUIET_S = 0.05
"""Where nothing has come for so long, a batch waits for no more."""

MANY = 8
"""How many a batch has to have for the next one to wait longer."""

STILL_MANY = 20
"""How many one that did: eighty a second."""

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
        failures, trouble = 0, Recurring(log, "database_unavailable")
        while batch:
            try:
                with self.counts.seconds.time():
                    await self.batch_writer.keep(batch)
            except DatabaseUnavailable as away:
                trouble.note(away, waiting=len(batch))
                failures += 1
                draw = random.random()  # noqa: S311  jitter
                wait_s = back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S)
                if await _wait_for_stop(stopping, wait_s):
                    return
                batch = [delivery for delivery in batch if delivery.held]
                continue
            trouble.clear()
            for delivery in batch:  # an ack waits for nobody: a task each would be the dearest part of it
                await self._ack(delivery)
            self.counts.deliveries.inc(len(batch))
            return

    async def _ack(self, delivery: Delivery) -> None:
        with suppress(Unreachable):  # handed back meanwhile: it comes again, and changes nothing
            await self.broker.ack(delivery)


def next_gather_s(gather_s: float, size: int) -> float:
    """Say how long the batch gathers that comes after one of `size` deliveries that gathered for `gather_s`."""
    return LONGER_S if size >= (MANY if gather_s < LONGER_S else STILL_MANY) else GATHER_S


async def _batches(
    deliveries: AsyncIterator[Delivery], stopping: asyncio.Event
) -> AsyncGenerator[list[Delivery], None]:
    """Gather deliveries into batches: each is full, or has gathered for as long as it may."""
    arrived = _Arrived()

    async def receive() -> None:
        async for delivery in deliveries:
            arrived.add(delivery)  # no bound of its own: the prefetch is one

    receiving = asyncio.create_task(receive())
    stopped = asyncio.create_task(stopping.wait())
    gather_s = GATHER_S
    try:
        while not stopping.is_set():
            if not await _happens(arrived.any, receiving, stopped):
                if receiving.done():
                    receiving.result()
                return
            await _gather(arrived, gather_s, receiving, stopped)
            batch = arrived.take()
            gather_s = next_gather_s(gather_s, len(batch))
            yield batch
    finally:
        receiving.cancel()
        stopped.cancel()
        await asyncio.gather(receiving, stopped, return_exceptions=True)


async def _gather(arrived: "_Arrived", within_s: float, *ends: asyncio.Task[Any]) -> None:
    """Wait for more: until it is enough, nothing more comes, the time is up, or one of the ends has come."""
    loop = asyncio.get_running_loop()
    until, seen = loop.time() + within_s, 0
    while seen < len(arrived) and (left_s := until - loop.time()) > 0:
        seen = len(arrived)
        if await _happens(arrived.full, *ends, within_s=min(QUIET_S, left_s)):
            return


class _Arrived:
    """What has come and is in no batch yet."""

    def __init__(self) -> None:
        self.any = asyncio.Event()
        self.full = asyncio.Event()
        """Whether it is enough for a batch."""
        self._deliveries: deque[Delivery] = deque()
        self._size = 0

    def __len__(self) -> int:
        """Return how many have come."""
        return len(self._deliveries)

    def add(self, delivery: Delivery) -> None:
        """Add what comes."""
        self._deliveries.append(delivery)
        self._size += len(delivery.body)
        self.any.set()
        if len(self._deliveries) >= BATCH or self._size >= BATCH_BYTES:
            self.full.set()

    def take(self) -> list[Delivery]:
        """Take a batch off the front."""
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


async def _happens(event: asyncio.Event, *ends: asyncio.Task[Any], within_s: float | None = None) -> bool:
    """Wait until it happens, or one of the ends does, or the time is up; tell whether it has."""
    if event.is_set():
        return True
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({waiting, *ends}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    return event.is_set()


async def _wait_for_stop(stopping: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
    return stopping.is_set()
