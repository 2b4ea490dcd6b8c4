"""The consumer of the queue `imsg.schedule`: jobs that are not due yet are stored, and then acknowledged."""

import asyncio
from collections.abc import Sequence

from pydantic import ValidationError

from imsg_broker.batches import acknowledge, process_until_done
from imsg_broker.port import Broker, Delivery, PublishRefused, PublishUnknown
from imsg_contract.wire import Job
from imsg_database.unavailable import DatabaseUnavailable
from imsg_limits.windows import PublishedWindows
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.watermark import Watermark
from imsg_scheduler.clock import RedisClock
from imsg_scheduler.erasing import ScheduleErasure
from imsg_scheduler.store import HeldGroup, Store, to_ms

log = logger(__name__)

BATCH = 200

AWAY = (DatabaseUnavailable, RedisUnavailable, RedisRefused, PublishRefused, PublishUnknown)


class ScheduleConsumer:
    """Stores scheduled jobs. While the database is away, nothing is acknowledged, and the batch is stored later."""

    def __init__(
        self,
        broker: Broker,
        store: Store,
        erasure: ScheduleErasure,
        clock: RedisClock,
        watermark: Watermark,
        *,
        windows: PublishedWindows,
    ) -> None:
        """`windows` are those that the releaser of this process reads."""
        self._broker = broker
        self._store = store
        self._erasure = erasure
        self._clock = clock
        self._watermark = watermark
        self._windows = windows

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping` or cancelled; what is not acknowledged by then is delivered again."""
        problem = RecurringProblem(log, "scheduled_jobs_not_stored")
        async with self._broker.consume(self._broker.topology.schedule, BATCH) as deliveries:
            self._watermark.record_wait()
            while not stopping.is_set() and (batch := await deliveries.receive_batch(BATCH)):
                self._watermark.record_delivery()
                await process_until_done(batch, self._store_batch, AWAY, problem)
                self._watermark.record_wait()

    async def _store_batch(self, batch: Sequence[Delivery]) -> None:
        read: list[tuple[Delivery, Job]] = []
        for delivery in batch:
            if (job := _read(delivery)) is not None:
                read.append((delivery, job))
                continue
            log.error("dead_lettered", queue=delivery.queue)
            await self._broker.dead_letter(delivery, "unreadable: it is no scheduled job")
        jobs = [await self._erasure.strip(job) for _, job in read]
        async with self._store.writing() as rows:
            await rows.add([job for job in jobs if job.recipients])
            # What is due may have come before, and have been released and removed since: the broker delivers again
            # what was not acknowledged. The clock is read after the rows are there, so that no release goes between.
            now_ms = await self._clock.read_ms()
            await rows.mark_due_of([job.request for job in jobs if to_ms(job) <= now_ms], now_ms)
        await self._decide_held_again(jobs)
        for job in jobs:
            log.info("scheduled", request=job.request, method=job.method, recipients=len(job.recipients))
        self._watermark.record_delivery(max((job.accepted_at.timestamp() * 1_000 for job in jobs), default=0))
        await acknowledge(self._broker, [delivery for delivery, _ in read])

    async def _decide_held_again(self, jobs: Sequence[Job]) -> None:
        """Make held jobs due whose window has changed or gone, which a gateway may not have read yet.

        The releaser decides again about all that is held when it reads other windows. So the windows are compared
        after the jobs were stored: either they are the new ones here, or the releaser finds the jobs.
        """
        groups = {HeldGroup(job.method, job.category, job.held_by, to_ms(job)) for job in jobs if job.held_by}
        if not groups:
            return
        now_ms = await self._clock.read_ms()
        changed = [group for group in groups if not group.is_held_by(self._windows.current, now_ms)]
        if changed:
            async with self._store.writing() as rows:
                for group in changed:
                    await rows.decide_again(group, now_ms)


def _read(delivery: Delivery) -> Job | None:
    try:
        job = Job.model_validate_json(delivery.body)
    except ValidationError:
        return None
    return job if job.is_scheduled or job.fallback else None
