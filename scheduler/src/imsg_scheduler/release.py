"""The release of jobs that are due: published under their own id and confirmed, and only then removed.

A crash between the two publishes a job again under its id, which the senders' claims recognise.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.topology import OUTCOME, Lane, job_key
from imsg_contract.wire import Job, Outcome, Outcomes, Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_scheduler.store import Rows, Store
from imsg_scheduler.users import Users
from imsg_web.service_client import ServiceUnavailable

log = logger(__name__)

BATCH = 200
"""Jobs of one transaction. Where so many are due at once they are a crowd, as many sends of one moment are."""

LOOK_S = 0.5
"""How late a job may be found due."""

TURNS = 2
"""Transactions side by side on PostgreSQL, each with its own rows."""

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


class Releaser:
    """Releases jobs by Redis' clock, as the senders' claims do, so that all schedulers agree on what is due."""

    def __init__(self, broker: Broker, redis: Redis, store: Store, users: Users, metrics: ReleaseMetrics) -> None:
        self._broker = broker
        self._redis = redis
        self._store = store
        self._users = users
        self._metrics = metrics

    async def run(self, stopping: asyncio.Event) -> None:
        """Release until `stopping`."""
        turns = TURNS if self._store.is_postgres else 1
        async with asyncio.TaskGroup() as group:
            for _ in range(turns):
                group.create_task(self._run(stopping))

    async def _run(self, stopping: asyncio.Event) -> None:
        problem = RecurringProblem(log, "scheduled_jobs_not_released")
        while not stopping.is_set():
            try:
                released = await self.release()
                await self._measure()
            except AWAY as away:
                problem.note(away)
                released = 0
            else:
                problem.clear()
            if released < BATCH:
                await asyncio.sleep(LOOK_S)

    async def release(self) -> int:
        """Release one batch of what is due; return its size.

        What can't be published stays. Raises DatabaseUnavailable, RedisUnavailable, RedisRefused, ServiceUnavailable,
        PublishRefused, PublishUnknown.
        """
        now_ms = await self._now_ms()
        if self._store.is_postgres:
            async with self._store.writing() as rows:
                return await self._release(rows, await rows.find_due(now_ms, BATCH), now_ms)
        # SQLite has one writer, which must not wait for the broker.
        async with self._store.reading() as rows:
            jobs = await rows.find_due(now_ms, BATCH)
        if not jobs:
            return 0
        gone, failure = await self._publish_all(jobs, now_ms)
        async with self._store.writing() as rows:
            await rows.remove(gone)
        return _count(gone, failure)

    async def _release(self, rows: Rows, jobs: Sequence[Job], now_ms: int) -> int:
        if not jobs:
            return 0
        gone, failure = await self._publish_all(jobs, now_ms)
        await rows.remove(gone)
        return _count(gone, failure)

    async def _publish_all(self, jobs: Sequence[Job], now_ms: int) -> tuple[list[str], BaseException | None]:
        """Publish jobs; return those that are confirmed, and why another one is not."""
        is_crowd = len(jobs) == BATCH
        tried = [self._publish(job, now_ms, is_crowd=is_crowd) for job in jobs]
        results = await asyncio.gather(*tried, return_exceptions=True)
        failures = [result for result in results if result is not None]
        for failure in failures:
            if not isinstance(failure, AWAY):
                raise failure
        gone = [job.request for job, result in zip(jobs, results, strict=True) if result is None]
        return gone, failures[0] if failures else None

    async def _publish(self, job: Job, now_ms: int, *, is_crowd: bool) -> None:
        topology, now = self._broker.topology, datetime.fromtimestamp(now_ms / 1_000, UTC)
        if not await self._users.may_send(job):
            await self._broker.publish(_refuse(job, now).encode(), topology.new(OUTCOME))
            log.info("not_released", request=job.request, why=SENDING_DISABLED)
            return
        released = release_job(job, now, is_crowd=is_crowd)
        await self._broker.publish(released.encode(), topology.new(job_key(released.method, released.lane)))
        self._metrics.released.inc()

    async def _measure(self) -> None:
        now_ms = await self._now_ms()
        async with self._store.reading() as rows:
            oldest_ms = await rows.find_oldest_ms()
        late_ms = 0 if oldest_ms is None else max(0, now_ms - oldest_ms)
        self._metrics.overdue.set(late_ms / 1_000)

    async def _now_ms(self) -> int:
        seconds, micros = await self._redis.call("TIME")
        return int(seconds) * 1_000 + int(micros) // 1_000


def release_job(job: Job, now: datetime, *, is_crowd: bool) -> Job:
    """Return the job as its channel gets it: its life begins now; one of a crowd takes the lane below its own."""
    life = job.expires_at - (job.due_at or job.accepted_at)
    lane = _BELOW.get(job.lane, job.lane) if is_crowd else job.lane
    return job.model_copy(update={"released_at": now, "expires_at": now + max(life, timedelta()), "lane": lane})


def _refuse(job: Job, now: datetime) -> Outcomes:
    detail = "Its user may not send any more."
    outcome = {"request": job.request, "attempt": 0, "status": Status.FAILED, "code": SENDING_DISABLED, "at": now}
    return Outcomes(outcomes=tuple(Outcome(n=one.n, detail=detail, **outcome) for one in job.recipients))


def _count(gone: Sequence[str], failure: BaseException | None) -> int:
    if failure is not None and not gone:
        raise failure
    return len(gone)
