"""Groups of deliveries: consumed together, split into chunks where they are long, and sent concurrently."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count, groupby
from typing import Generic

from pydantic import ValidationError

from imsg_broker.port import Deliveries, Delivery
from imsg_contract.chunks import first_of
from imsg_contract.topology import Lane
from imsg_contract.wire import Job
from imsg_delivery.channel import Prepared
from imsg_delivery.chunk_workflow import ChunkWorkflow
from imsg_delivery.delivery import LAST_WORDS_S, WRITE_PATIENCE_S, ChunkDelivery, ack
from imsg_delivery.disposition import Disposition, Requeue
from imsg_delivery.lane_context import LaneContext
from imsg_delivery.slots import ReadWriteLock
from imsg_delivery.tasks import cancel
from imsg_limits.lag_throttle import LagThrottle
from imsg_runtime.logs import bound, logger

log = logger(__name__)

GROUP = 32
"""The most deliveries that are sent together; a group of fewer does not wait for more."""

CHUNKS_AT_ONCE = 50
"""Chunks of a long job that are encoded and published together; then the loop runs other tasks."""


class Groups(Generic[Prepared]):
    """Consumes deliveries of a lane in groups, and sends each group in a task of its own."""

    def __init__(self, owner: str, lag_throttle: LagThrottle) -> None:
        self._owners = (f"{owner}{number}" for number in count())
        self._lag_throttle = lag_throttle
        self._lock = ReadWriteLock()
        """A delivery that broke a worker before is sent in isolation."""

    async def consume(
        self,
        lane: LaneContext[Prepared],
        deliveries: Deliveries,
        tasks: Collection[set[asyncio.Task[None]]],
        requeue: asyncio.Event,
    ) -> None:
        """Consume and send groups, each in a task that is in every set of `tasks` until it is done.

        Sets `requeue` once a delivery can't be acked here: then the lane requeues all that it holds.
        """
        while group := await deliveries.receive_batch(GROUP):
            if lane.lane is Lane.PRIORITY:
                self._lag_throttle.record_code()
            task = asyncio.create_task(self._settle(lane, group, requeue))
            for task_set in tasks:
                task_set.add(task)
                task.add_done_callback(task_set.discard)

    async def _settle(self, lane: LaneContext[Prepared], group: Sequence[Delivery], requeue: asyncio.Event) -> None:
        try:
            dispositions = await self._carry_out(lane, group)
        except Exception:
            log.exception("worker_broke", queue=group[0].queue)
            dispositions = {}
        if any(delivery.held and dispositions.get(delivery) is not Disposition.DONE for delivery in group):
            requeue.set()

    async def _carry_out(
        self, lane: LaneContext[Prepared], group: Sequence[Delivery]
    ) -> Mapping[Delivery, Disposition]:
        dispositions: dict[Delivery, Disposition] = {}
        whole: list[tuple[Job, Delivery]] = []
        long: list[tuple[Job, Delivery]] = []
        for delivery in group:
            job = _read(lane, delivery)
            if isinstance(job, str):
                dispositions[delivery] = await _dead_letter(lane, delivery, job)
                continue
            if job.chunk is not None or job.recipients[-1].n == 0:
                whole.append((job, delivery))
                continue
            first, last = (first_of(job.recipients[at].n, lane.channel.terms.chunk_size) for at in (0, -1))
            if first != last:
                long.append((job, delivery))
            else:  # scheduler may have taken people out of it
                whole.append(
                    (job.model_copy(update={"chunk": first}) if job.recipients[0].n != first else job, delivery)
                )
        async with self._lock.share():
            splits = [asyncio.create_task(_split(lane, job, delivery)) for job, delivery in long]
            try:
                dispositions.update(await self.deliver(lane, whole))
                for split, (_, delivery) in zip(splits, long, strict=True):
                    dispositions[delivery] = await split
            finally:
                if splits:
                    await cancel(splits)
        for job, delivery in whole:
            if dispositions[delivery] is Disposition.NEEDS_ISOLATION:
                async with self._lock.alone():
                    dispositions.update(await self.deliver(lane, [(job, delivery)], alone=True))
        return dispositions

    async def deliver(
        self, lane: LaneContext[Prepared], chunks: Sequence[tuple[Job, Delivery]], *, alone: bool = False
    ) -> Mapping[Delivery, Disposition]:
        """Send chunks concurrently, each until it is acked or requeued; raises only CancelledError.

        Their steps share round trips to Redis and their outcomes a publish; each is acked once its own are kept.
        """
        units = [ChunkDelivery(lane, job, delivery, next(self._owners)) for job, delivery in chunks]
        if len(units) == 1:
            return {units[0].delivery: await _carry_out(units[0], alone=alone)}
        dispositions = await asyncio.gather(*(_carry_out(unit, alone=alone) for unit in units))
        return dict(zip((unit.delivery for unit in units), dispositions, strict=True))


async def _carry_out(unit: ChunkDelivery[Prepared], *, alone: bool) -> Disposition:
    """Send one chunk as far as it can be sent now; raises only CancelledError."""
    with _bind_key(unit.job):
        return await _carry_out_bound(unit, alone=alone)


async def _carry_out_bound(unit: ChunkDelivery[Prepared], *, alone: bool) -> Disposition:
    try:
        if not alone and unit.is_plain and await unit.send_at_once():
            return Disposition.DONE
        return Disposition.DONE if await ChunkWorkflow(unit).carry_out(alone=alone) else Disposition.NEEDS_ISOLATION
    except Requeue as why:
        log.info("handed_back", chunk=unit.chunk.name, why=str(why))
        await unit.release(WRITE_PATIENCE_S)
        return Disposition.REQUEUED
    except asyncio.CancelledError:
        await asyncio.shield(unit.release(LAST_WORDS_S))
        raise
    except Exception:
        log.exception("chunk_broke", chunk=unit.chunk.name, attempt=unit.job.attempt)
        return await _delay_as_it_is(unit)
    finally:
        if not unit.is_closed:
            unit.lane.claims.forget(unit.chunk)


async def _delay_as_it_is(unit: ChunkDelivery[Prepared]) -> Disposition:
    """Delay a delivery unchanged after a bug; its start is still counted as broken."""
    lane = unit.lane
    if not await lane.publisher.delay([(unit.job, lane.steps_s[0])], lane.queue, unit.delivery):
        return Disposition.REQUEUED
    await ack(lane.broker, unit.delivery)
    return Disposition.DONE


def _bind_key(job: Job) -> AbstractContextManager[None]:
    """Return a context that adds the API key of a job to each line logged inside."""
    return nullcontext() if job.key is None else bound(key=job.key)


def _read(lane: LaneContext[Prepared], delivery: Delivery) -> Job | str:
    """Return the job of a delivery, or why it can't be sent."""
    try:
        job = Job.model_validate_json(delivery.body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"unreadable: {'.'.join(str(part) for part in problem['loc']) or 'body'}: {problem['msg']}"
    if job.method != lane.channel.method:
        return f"it is for {job.method}, and this is {lane.channel.method}"
    return job if job.recipients else "it has no recipients"


async def _dead_letter(lane: LaneContext[Prepared], delivery: Delivery, why: str) -> Disposition:
    log.error("dead_lettered", queue=delivery.queue, why=why)
    lane.metrics.dead.inc()
    return Disposition.DONE if await lane.publisher.dead_letter(delivery, why) else Disposition.REQUEUED


async def _split(lane: LaneContext[Prepared], job: Job, delivery: Delivery) -> Disposition:
    """Publish the chunks of a long job to its lane's queue, then ack it; splitting twice makes the same chunks."""
    size = lane.channel.terms.chunk_size
    slices = [
        (first, tuple(chunk)) for first, chunk in groupby(job.recipients, lambda recipient: first_of(recipient.n, size))
    ]
    for at in range(0, len(slices), CHUNKS_AT_ONCE):
        chunks = [
            job.model_copy(update={"chunk": first, "recipients": recipients})
            for first, recipients in slices[at : at + CHUNKS_AT_ONCE]
        ]
        if not await lane.publisher.split(chunks, lane.queue, delivery):
            return Disposition.REQUEUED
    await ack(lane.broker, delivery)
    with _bind_key(job):
        log.info("split", request=job.request, method=job.method, recipients=len(job.recipients), chunks=len(slices))
    return Disposition.DONE
