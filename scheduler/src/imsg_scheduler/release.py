"""The release of jobs that are due: published under their own id and confirmed, and only then removed.

A crash between the two publishes a job again under its id, which the senders' claims recognise.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.topology import OUTCOME, RESCHEDULE, Lane, job_key, next_due_key
from imsg_contract.wire import Job, Outcome, Outcomes, Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_limits.windows import Calendar, Hold, PublishedWindows
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_scheduler.clock import RedisClock
from imsg_scheduler.store import Due, Rows, Store
from imsg_scheduler.users import Users
from imsg_web.service_client import ServiceUnavailable

log = logger(__name__)

BATCH = 200
"""Jobs of one transaction. Where so many are due at once they are a crowd, as many sends of one moment are."""

POLL_S = 0.5
"""How late a job may be found due."""

MEASURE_S = 2.0
"""How old the figures of what waits may be."""

TURNS = 2
"""Transactions side by side on PostgreSQL, each with its own rows, while many are due. The broker's adapter has room
for as many publishes without a confirm."""

SENDING_DISABLED = "sending_disabled"
"""The code of a message whose user may not send any more."""

AWAY = (DatabaseUnavailable, RedisUnavailable, RedisRefused, PublishRefused, PublishUnknown, ServiceUnavailable)

_BELOW = {Lane.PRIORITY: Lane.NORMAL, Lane.NORMAL: Lane.BULK}


class ReleaseMetrics:
    """Metrics of releases."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.released = Counter("imsg_scheduler_released_total", "Jobs handed to their channels", registry=registry)
        self.overdue = Gauge(
            "imsg_scheduler_overdue_seconds", "How late the oldest job is that was due", registry=registry
        )
        self.overdue.set(math.nan)  # until it is measured, and while it can't be


class Round(NamedTuple):
    """The result of releasing a batch of jobs."""

    gone: Sequence[Job]
    """Those that their channels have, as they were before."""
    held: Sequence[Job]
    failure: BaseException | None
    """Why another one could not be published."""


NOTHING = Round((), (), None)


class Releaser:
    """Releases jobs by Redis' clock, as the senders' claims do, so that all schedulers agree on what is due."""

    def __init__(
        self,
        broker: Broker,
        redis: Redis,
        store: Store,
        users: Users,
        clock: RedisClock,
        *,
        windows: PublishedWindows,
        metrics: ReleaseMetrics,
    ) -> None:
        self._windows = windows
        self._judged: Calendar | None = None
        self._broker = broker
        self._redis = redis
        self._store = store
        self._users = users
        self._clock = clock
        self._metrics = metrics
        self._choosing = asyncio.Lock()

    async def run(self, stopping: asyncio.Event) -> None:
        """Release until `stopping`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(partial(self._release_all, stopping), POLL_S, stopping))
            group.create_task(self._repeat(self._measure, MEASURE_S, stopping))

    async def _repeat(self, act: Callable[[], Awaitable[None]], every_s: float, stopping: asyncio.Event) -> None:
        problem = RecurringProblem(log, "scheduled_jobs_not_released")
        while not stopping.is_set():
            with problem.catch(*AWAY):
                await act()
            await asyncio.sleep(every_s)

    async def _release_all(self, stopping: asyncio.Event) -> None:
        """Release until less than a batch is due."""

        async def release_some() -> None:
            while await self.release() == BATCH and not stopping.is_set():
                pass

        if await self.release() < BATCH:
            return
        turns = [release_some() for _ in range(TURNS if self._store.is_postgres else 1)]
        for failure in await asyncio.gather(*turns, return_exceptions=True):
            if failure is not None:
                raise failure

    async def release(self) -> int:
        """Release one batch of what is due; return its size.

        What can't be published stays. Raises DatabaseUnavailable, RedisUnavailable, RedisRefused, ServiceUnavailable,
        PublishRefused, PublishUnknown.
        """
        now_ms, calendar = await self._clock.read_ms(), await self._windows.fetch()
        if not self._windows.is_known:
            raise ServiceUnavailable("auth has not published the windows")
        if calendar is not self._judged:
            self._judged = calendar  # before, since another turn may find meanwhile that it has to be done again
            try:
                await self._decide_again(calendar, now_ms)
            except BaseException:
                self._judged = None
                raise
        released = await self._release_due(calendar, now_ms)
        if calendar is not self._windows.current:  # another turn may have decided before these were written
            self._judged = None
        return released

    async def _release_due(self, calendar: Calendar, now_ms: int) -> int:
        """Release one batch by these windows; return its size."""
        async with self._store.reading() as rows:  # nothing is due most of the time, and writing has its price
            if not await rows.has_due(now_ms):
                return 0
        if self._store.is_postgres:
            async with self._store.writing() as rows:
                async with self._choosing:  # so that one batch has the most urgent
                    await self._mark(now_ms)
                    due_jobs = await rows.find_due(now_ms, BATCH)
                round_ = await self._publish_all(due_jobs, calendar, now_ms) if due_jobs else NOTHING
                return await _write(rows, round_, now_ms)
        await self._mark(now_ms)
        # SQLite has one writer, which must not wait for the broker.
        async with self._store.reading() as rows:
            due_jobs = await rows.find_due(now_ms, BATCH)
        if not due_jobs:
            return 0
        round_ = await self._publish_all(due_jobs, calendar, now_ms)
        async with self._store.writing() as rows:
            return await _write(rows, round_, now_ms)

    async def _mark(self, now_ms: int) -> None:
        """Mark a batch: from here on a cancel asks the claims, since a job may have been published."""
        async with self._store.writing() as rows:
            await rows.mark_due(now_ms, BATCH)

    async def _decide_again(self, calendar: Calendar, now_ms: int) -> None:
        """Let what is held be due, where the windows of now hold it otherwise."""
        async with self._store.writing() as rows:
            for group in await rows.list_held():
                if not group.is_held_by(calendar, now_ms):
                    await rows.decide_again(group, now_ms)

    async def _publish_all(self, due_jobs: Sequence[Due], calendar: Calendar, now_ms: int) -> Round:
        """Publish what may go, and tell history what is held."""
        now, is_crowd = datetime.fromtimestamp(now_ms / 1_000, UTC), len(due_jobs) == BATCH
        going, held = [], []
        for job, at_any_hour in due_jobs:
            hold = None if at_any_hour else calendar.find_hold(job.method, job.category, now)
            if hold is None:
                going.append((job, self._publish(job, now, is_crowd=is_crowd)))
            else:
                kept = hold_job(job, hold)
                held.append((kept, self._publish_held(kept, is_new=kept is not job)))
        results = await asyncio.gather(*[publishing for _, publishing in going + held], return_exceptions=True)
        failures = [result for result in results if result is not None]
        for failure in failures:
            if not isinstance(failure, AWAY):
                raise failure
        confirmed = {job.request for (job, _), result in zip(going + held, results, strict=True) if result is None}
        return Round(
            [job for job, _ in going if job.request in confirmed],
            [job for job, _ in held if job.request in confirmed],
            failures[0] if failures else None,
        )

    async def _publish_held(self, job: Job, *, is_new: bool) -> None:
        if is_new:
            await self._broker.publish(job.encode(), self._broker.topology.new(RESCHEDULE))
            log.info("held", request=job.request, method=job.method, by=job.held_by)

    async def _publish(self, job: Job, now: datetime, *, is_crowd: bool) -> None:
        topology = self._broker.topology
        if not await self._users.may_send(job):
            await self._broker.publish(_refuse(job, now).encode(), topology.new(OUTCOME))
            log.info("not_released", request=job.request, why=SENDING_DISABLED)
            return
        released = release_job(job, now, is_crowd=is_crowd)
        await self._broker.publish(released.encode(), topology.new(job_key(released.method, released.lane)))
        self._metrics.released.inc()
        log.info("released", request=released.request, method=released.method, lane=released.lane.value)

    async def _measure(self) -> None:
        try:
            now_ms = await self._clock.read_ms()
            async with self._store.reading() as rows:
                oldest = await rows.find_oldest(self._broker.topology.methods)
        except AWAY:
            self._metrics.overdue.set(math.nan)
            raise
        self._metrics.overdue.set(max([0, *(now_ms - due_ms for due_ms in oldest.values())]) / 1_000)
        # Kept while scheduler is away, so that gateways see how late it is.
        for method in self._broker.topology.methods:
            await self._redis.call("SET", next_due_key(method), oldest.get(method, 0))


def hold_job(job: Job, hold: Hold) -> Job:
    """Return the job as it waits for a window; its life begins when that opens."""
    if (job.held_until, job.held_by) == hold:
        return job
    times = {"held_until": hold.until, "held_by": hold.by, "expires_at": hold.until + find_life(job)}
    return job.model_copy(update=times | {"moves": job.moves + 1})


def find_life(job: Job) -> timedelta:
    """Return how long a job is tried once it is released."""
    return job.expires_at - (job.waits_until or job.accepted_at)


def release_job(job: Job, now: datetime, *, is_crowd: bool) -> Job:
    """Return the job as its channel gets it: its life begins now; one of a crowd takes the lane below its own."""
    life = find_life(job)
    lane = _BELOW.get(job.lane, job.lane) if is_crowd else job.lane
    return job.model_copy(update={"released_at": now, "expires_at": now + max(life, timedelta()), "lane": lane})


def _refuse(job: Job, now: datetime) -> Outcomes:
    detail = "Its user may not send any more."
    outcome = {"request": job.request, "attempt": 0, "status": Status.FAILED, "code": SENDING_DISABLED, "at": now}
    return Outcomes(outcomes=tuple(Outcome(n=recipient.n, detail=detail, **outcome) for recipient in job.recipients))


async def _write(rows: Rows, done: Round, now_ms: int) -> int:
    """Write what a round did; return the number of its jobs. Raises why none was published."""
    await rows.remove([job.request for job in done.gone])
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    for job in done.gone:
        if job.leg is not None:
            await rows.fallbacks.begin(job.request, release_job(job, now, is_crowd=False), now_ms)
    for job in done.held:
        await rows.hold(job, now_ms)
    count = len(done.gone) + len(done.held)
    if done.failure is not None and not count:
        raise done.failure
    return count
