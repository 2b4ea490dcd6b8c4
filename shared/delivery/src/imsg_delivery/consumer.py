"""The loop of every sender: take from two lanes, split what is long, carry out parts, stop in good order."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any, Generic

from prometheus_client import CollectorRegistry
from pydantic import SecretStr, ValidationError

from imsg_broker.port import Broker, Delivery
from imsg_contract.topology import Lane
from imsg_contract.wire import Job
from imsg_delivery.channel import Channel, Prepared
from imsg_delivery.claims.store import LEASE_S, Ledger, owner_of
from imsg_delivery.delivery import Ending, Part
from imsg_delivery.lane_context import Bench
from imsg_delivery.metrics import Meter
from imsg_delivery.outcome_publisher import Outbox
from imsg_delivery.pause import Gate
from imsg_delivery.read_write_lock import Crowd
from imsg_runtime.life import UNWATCHED, Life
from imsg_runtime.observe import logger
from imsg_runtime.redis import Redis
from imsg_runtime.tombstones import Digests, Tombstones

log = logger(__name__)

FINISH_S = 20.0
"""How long what is in flight may take to end once the worker is to stop; then it is cancelled."""

PREFETCH_PER_CALL = {Lane.SINGLE: 8, Lane.BULK: 2}
"""Deliveries held for each call in flight: for single messages enough to hide the round trips around a call."""

PLACES_PER_CALL = 2
"""Deliveries begun for each call in flight: the next is looked up in the ledger while a call goes on."""

REST_S = 1.0
"""How long a lane rests after it handed back what it held."""

PARTS_AT_ONCE = 50
"""Parts of a long job that are encoded and published together: between them the loop is free for others."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The worker's times, shorter in tests."""

    lease_s: float = LEASE_S
    finish_s: float = FINISH_S


class Worker(Generic[Prepared]):
    """Carries out the jobs of one channel, as promises 2 to 6 say (docs/promises.md). `run` it once."""

    def __init__(
        self,
        channel: Channel[Prepared],
        broker: Broker,
        redis: Redis,
        *,
        metrics: CollectorRegistry,
        stopping: asyncio.Event,
        pace: Pace = Pace(),
        life: Life = UNWATCHED,
        erasure_keys: Sequence[SecretStr] = (),
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._broker = broker
        self._stopping = stopping
        self._pace = pace
        self._ledger = Ledger(redis, pace.lease_s, life.stopped)
        self._gate = Gate(redis, self._ledger, channel.method, clock)
        self._meter = Meter(metrics, channel.method)
        self._meter.blocked.set_function(lambda: float(self._gate.is_blocked))
        self._crowd = Crowd()
        name = secrets.token_hex(6)
        self._owners = (owner_of(life.name, name, number) for number in count())
        self._ended = asyncio.Event()
        self._runs: set[asyncio.Task[None]] = set()
        random = random or Random()  # noqa: S311  jitter
        outbox = Outbox(broker, random)
        tombstones = Tombstones(redis, Digests(erasure_keys))
        self._benches = {
            lane: Bench(
                lane,
                channel,
                outbox,
                self._ledger,
                tombstones,
                self._gate,
                self._meter,
                asyncio.Semaphore(channel.terms.concurrency[lane]),
                asyncio.Semaphore(PLACES_PER_CALL * channel.terms.concurrency[lane]),
                broker.topology.steps_s,
                broker.topology.waits_s,
                random,
                self._is_ending,
                clock,
            )
            for lane in Lane
        }

    async def run(self) -> None:
        """Work until `stopping` is set or it is cancelled; then end what is in flight and hand back the rest."""
        helpers = [asyncio.create_task(self._gate.watch()), asyncio.create_task(self._ledger.keep_leases())]
        lanes = [asyncio.create_task(self._work(bench)) for bench in self._benches.values()]
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({*helpers, *lanes, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ended.set()
            try:
                await _ended(lanes)
            finally:
                await _cancelled([*self._runs, *helpers, stopped])
        for task in (*lanes, *helpers):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _is_ending(self) -> bool:
        return self._ended.is_set() or self._stopping.is_set()

    async def _work(self, bench: Bench[Prepared]) -> None:
        """Take from one lane's queue whenever the gate is open."""
        queue = self._broker.topology.queue(self._channel.method, bench.lane)
        prefetch = PREFETCH_PER_CALL[bench.lane] * self._channel.terms.concurrency[bench.lane]
        while True:
            await _first_of(self._gate.opened(), self._ended.wait())
            if self._is_ending():
                return
            runs: set[asyncio.Task[None]] = set()
            hand_back = asyncio.Event()
            async with self._broker.consume(queue, prefetch) as deliveries:
                pump = self._pump(bench, deliveries, runs, hand_back)
                await _first_of(pump, self._gate.shut(), hand_back.wait(), self._ended.wait())
                # What is in flight ends first, so that it can be acked; leaving hands back what is not.
                if runs:
                    await asyncio.wait(runs, timeout=self._pace.finish_s)
                if self._is_ending():
                    await _cancelled(runs)
            await _first_of(asyncio.sleep(REST_S), self._ended.wait())

    async def _pump(
        self,
        bench: Bench[Prepared],
        deliveries: AsyncIterator[Delivery],
        runs: set[asyncio.Task[None]],
        hand_back: asyncio.Event,
    ) -> None:
        async for delivery in deliveries:
            run = asyncio.create_task(self._taken(bench, delivery, hand_back))
            for tasks in (runs, self._runs):
                tasks.add(run)
                run.add_done_callback(tasks.discard)

    async def _taken(self, bench: Bench[Prepared], delivery: Delivery, hand_back: asyncio.Event) -> None:
        """Carry out one delivery; where it can't be brought to an ack here, let the lane hand it back."""
        try:
            ending = await self._carried_out(bench, delivery)
        except Exception:
            log.exception("worker_broke", queue=delivery.queue)
            ending = Ending.HANDED_BACK
        if ending is not Ending.DONE and delivery.held:
            hand_back.set()

    async def _carried_out(self, bench: Bench[Prepared], delivery: Delivery) -> Ending:
        job = self._read(delivery)
        if isinstance(job, str):
            log.error("buried", queue=delivery.queue, why=job)
            self._meter.buried()
            return Ending.DONE if await bench.outbox.dead_letter(delivery, job) else Ending.HANDED_BACK
        async with self._crowd.shared():
            if job.part is None and len(job.recipients) > self._channel.terms.part_size:
                return await self._split(bench, job, delivery)
            if job.part is None:
                job = job.model_copy(update={"part": job.recipients[0].n})
            ending = await Part(bench, job, delivery, next(self._owners)).carry_out(alone=False)
        if ending is not Ending.WANTS_TO_BE_ALONE:
            return ending
        async with self._crowd.alone():
            return await Part(bench, job, delivery, next(self._owners)).carry_out(alone=True)

    def _read(self, delivery: Delivery) -> Job | str:
        """Read a job, or say why it can't be carried out."""
        try:
            job = Job.model_validate_json(delivery.body)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            return f"unreadable: {'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['msg']}"
        if job.method != self._channel.method:
            return f"it is for {job.method}, and this is {self._channel.method}"
        return job if job.recipients else "it has no recipients"

    async def _split(self, bench: Bench[Prepared], job: Job, delivery: Delivery) -> Ending:
        """Publish the parts of a long job to its own queue, then ack it; splitting twice makes the same parts."""
        size = self._channel.terms.part_size
        slices = [job.recipients[first : first + size] for first in range(0, len(job.recipients), size)]
        for at in range(0, len(slices), PARTS_AT_ONCE):
            parts = [
                job.model_copy(update={"part": recipients[0].n, "recipients": recipients})
                for recipients in slices[at : at + PARTS_AT_ONCE]
            ]
            if not await bench.outbox.split(parts, delivery.queue, delivery):
                return Ending.HANDED_BACK
        await bench.outbox.ack(delivery)
        log.info("split", request=job.request, method=job.method, recipients=len(job.recipients), parts=len(slices))
        return Ending.DONE


async def _first_of(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of them, cancel the others, and raise what ended it."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancelled(tasks)
    for task in done:
        task.result()


async def _ended(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Wait for all of them, also when cancelled meanwhile: a service's parts close only after what is in flight."""
    cancelled: asyncio.CancelledError | None = None
    while pending := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _cancelled(tasks: Iterable[asyncio.Future[Any]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
