"""The loop of every sender: consume its lanes, cut what is long into chunks, deliver, stop in good order."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Generic

from prometheus_client import CollectorRegistry
from pydantic import SecretStr, ValidationError

from imsg_broker.port import Broker, Deliveries, Delivery
from imsg_contract.topology import Lane, lanes_down_to
from imsg_contract.wire import Job
from imsg_delivery.channel import Channel, Prepared
from imsg_delivery.claims.store import LEASE_S, Claims, owner_of
from imsg_delivery.delivery import Ending, ack, deliver
from imsg_delivery.lane_context import LaneContext
from imsg_delivery.metrics import Metrics
from imsg_delivery.outcome_publisher import OutcomePublisher
from imsg_delivery.pause import PauseSwitch
from imsg_delivery.read_write_lock import ReadWriteLock
from imsg_delivery.restraint import Restraint
from imsg_delivery.tasks import cancel, wait_for_all, wait_for_first
from imsg_runtime.life import UNWATCHED, Life
from imsg_runtime.observe import logger
from imsg_runtime.redis import Redis
from imsg_runtime.tombstones import Digests, Tombstones

log = logger(__name__)

FINISH_S = 20.0
"""How long what is in flight may take to end once the worker is to stop; then it is cancelled."""

PREFETCH_PER_CALL = {Lane.PRIORITY: 8, Lane.NORMAL: 8, Lane.BULK: 2}
"""Deliveries held for each call in flight: for single messages enough to hide the round trips around a call."""

PLACES_PER_CALL = 2
"""Deliveries begun for each call in flight: the next is looked up in the claims while a call goes on."""

GROUP = 32
"""Deliveries that are carried out together where so many wait; one that comes alone waits for nobody."""

REST_S = 1.0
"""How long a lane rests after it handed back what it held."""

CHUNKS_AT_ONCE = 50
"""Chunks of a long job that are encoded and published together: between them the loop is free for others."""


@dataclass(frozen=True, slots=True)
class Durations:
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
        durations: Durations = Durations(),
        life: Life = UNWATCHED,
        erasure_keys: Sequence[SecretStr] = (),
        random: Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channel = channel
        self._broker = broker
        self._stopping = stopping
        self._durations = durations
        self._claims = Claims(redis, durations.lease_s, life.stopped)
        self._pause = PauseSwitch(redis, self._claims, channel.method, clock)
        self._metrics = Metrics(metrics, channel.method)
        self._metrics.blocked.set_function(lambda: float(self._pause.is_blocked))
        self._publisher = OutcomePublisher(broker, random := random or Random())  # noqa: S311  jitter
        self._lock = ReadWriteLock()
        """A delivery that broke a worker before is carried out with nothing else beside it."""
        owner = owner_of(life.name, secrets.token_hex(6))
        self._owners = (f"{owner}{number}" for number in count())
        self._ended = asyncio.Event()
        self._groups: set[asyncio.Task[None]] = set()
        tombstones = Tombstones(redis, Digests(erasure_keys)) if erasure_keys else None
        shares = {lane: asyncio.Semaphore(calls) for lane, calls in channel.terms.concurrency.items()}
        waiting: Counter[Lane] = Counter()
        self._restraint = Restraint(clock)
        self._lanes = [
            LaneContext(
                lane=lane,
                channel=channel,
                broker=broker,
                publisher=self._publisher,
                claims=self._claims,
                tombstones=tombstones,
                pause=self._pause,
                metrics=self._metrics,
                queue=broker.topology.queue(channel.method, lane),
                above=lanes_down_to(lane)[:-1],
                shares=[shares[above] for above in reversed(lanes_down_to(lane))],
                restraint=self._restraint if lane is Lane.BULK else None,
                waiting=waiting,
                places=asyncio.Semaphore(PLACES_PER_CALL * channel.terms.concurrency[lane]),
                steps_s=broker.topology.steps_s,
                waits_s=broker.topology.waits_s,
                random=random,
                ending=(self._ended, stopping),
                clock=clock,
            )
            for lane in Lane
        ]

    async def run(self) -> None:
        """Work until `stopping` is set or it is cancelled; then end what is in flight and hand back the rest."""
        clockwork = (
            self._pause.watch(),
            self._claims.keep_leases(),
            self._claims.compaction.keep_compacting(),
            self._restraint.watch(),
        )
        helpers = [asyncio.create_task(one) for one in clockwork]
        lanes = [
            asyncio.create_task(self._work(lane, queue))
            for lane in self._lanes
            for queue in self._broker.topology.queues(self._channel.method, lane.lane)
        ]
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({*helpers, *lanes, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ended.set()
            try:
                await wait_for_all(lanes)
            finally:
                await cancel([*self._groups, *helpers, stopped])
        for task in (*lanes, *helpers):
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _is_ending(self) -> bool:
        return self._ended.is_set() or self._stopping.is_set()

    async def _work(self, lane: LaneContext[Prepared], queue: str) -> None:
        """Consume one of a lane's queues whenever the channel is not paused."""
        prefetch = PREFETCH_PER_CALL[lane.lane] * self._channel.terms.concurrency[lane.lane]
        while True:
            await wait_for_first(self._pause.wait_open(), self._ended.wait())
            if self._is_ending():
                return
            groups: set[asyncio.Task[None]] = set()
            requeue = asyncio.Event()
            async with self._broker.consume(queue, prefetch) as deliveries:
                consuming = self._consume(lane, deliveries, groups, requeue)
                await wait_for_first(consuming, self._pause.wait_closed(), requeue.wait(), self._ended.wait())
                # What is in flight ends first, so that it can be acked; leaving hands back what is not.
                if groups:
                    await asyncio.wait(groups, timeout=self._durations.finish_s)
                if self._is_ending():
                    await cancel(groups)
            await wait_for_first(asyncio.sleep(REST_S), self._ended.wait())

    async def _consume(
        self,
        lane: LaneContext[Prepared],
        deliveries: Deliveries,
        groups: set[asyncio.Task[None]],
        requeue: asyncio.Event,
    ) -> None:
        async for first in deliveries:
            if lane.lane is Lane.PRIORITY:
                self._restraint.note_code()
            group = [first, *deliveries.take_waiting(GROUP - 1)]
            task = asyncio.create_task(self._settle(lane, group, requeue))
            for tasks in (groups, self._groups):
                tasks.add(task)
                task.add_done_callback(tasks.discard)

    async def _settle(self, lane: LaneContext[Prepared], group: Sequence[Delivery], requeue: asyncio.Event) -> None:
        """Carry out a group; what can't be brought to an ack here lets the lane hand back all it holds."""
        try:
            endings = await self._carry_out(lane, group)
        except Exception:
            log.exception("worker_broke", queue=group[0].queue)
            endings = {}
        if any(delivery.held and endings.get(delivery) is not Ending.DONE for delivery in group):
            requeue.set()

    async def _carry_out(self, lane: LaneContext[Prepared], group: Sequence[Delivery]) -> Mapping[Delivery, Ending]:
        endings: dict[Delivery, Ending] = {}
        chunks: list[tuple[Job, Delivery]] = []
        for delivery in group:
            job = self._read(delivery)
            if isinstance(job, str):
                endings[delivery] = await self._dead_letter(delivery, job)
            else:
                chunks.append((job, delivery))
        whole = [(job, delivery) for job, delivery in chunks if not self._is_long(job)]
        long = [(job, delivery) for job, delivery in chunks if self._is_long(job)]
        async with self._lock.shared():
            splits = [asyncio.create_task(self._split(lane, job, delivery)) for job, delivery in long]
            try:
                endings.update(await deliver(lane, whole, self._owners))
                for split, (_, delivery) in zip(splits, long, strict=True):
                    endings[delivery] = await split
            finally:
                if splits:
                    await cancel(splits)
        for job, delivery in whole:
            if endings[delivery] is Ending.WANTS_TO_BE_ALONE:
                async with self._lock.alone():
                    endings.update(await deliver(lane, [(job, delivery)], self._owners, alone=True))
        return endings

    def _is_long(self, job: Job) -> bool:
        return job.chunk is None and len(job.recipients) > self._channel.terms.chunk_size

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

    async def _dead_letter(self, delivery: Delivery, why: str) -> Ending:
        log.error("dead_lettered", queue=delivery.queue, why=why)
        self._metrics.dead.inc()
        return Ending.DONE if await self._publisher.dead_letter(delivery, why) else Ending.REQUEUED

    async def _split(self, lane: LaneContext[Prepared], job: Job, delivery: Delivery) -> Ending:
        """Publish the chunks of a long job to its lane's queue, then ack it; splitting twice makes the same chunks."""
        size = self._channel.terms.chunk_size
        slices = [job.recipients[first : first + size] for first in range(0, len(job.recipients), size)]
        for at in range(0, len(slices), CHUNKS_AT_ONCE):
            chunks = [
                job.model_copy(update={"chunk": recipients[0].n, "recipients": recipients})
                for recipients in slices[at : at + CHUNKS_AT_ONCE]
            ]
            if not await self._publisher.split(chunks, lane.queue, delivery):
                return Ending.REQUEUED
        await ack(self._broker, delivery)
        log.info("split", request=job.request, method=job.method, recipients=len(job.recipients), chunks=len(slices))
        return Ending.DONE
