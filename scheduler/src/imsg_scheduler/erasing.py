"""Erasure of people from the scheduled jobs: a tombstone takes their recipients away, and a job that has no other."""

import asyncio
from collections.abc import Mapping

from imsg_contract.topology import ERASED
from imsg_contract.wire import Job
from imsg_database.unavailable import DatabaseUnavailable
from imsg_people.tombstones import Tombstones
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.watermark import Watermark
from imsg_scheduler.store import Store

log = logger(__name__)

LOOK_S = 2.0
PAGE = 100
"""Jobs of one transaction; one may have 10,000 recipients."""

NAME = "scheduler"


class ErasedPeople:
    """The tombstones in Redis. Methods raise RedisUnavailable, RedisRefused."""

    def __init__(self, redis: Redis, tombstones: Tombstones) -> None:
        self._redis = redis
        self._tombstones = tombstones

    async def read(self) -> Mapping[str, int]:
        """Return all tombstones, digest → Unix milliseconds; none without an erasure key."""
        if not self._tombstones.digests or await self._tombstones.count() == 0:
            return {}
        return {digest: at_ms for digest, (at_ms, _) in (await self._tombstones.read()).items()}

    async def strip(self, job: Job) -> Job:
        """Return a job without the recipients who were erased since it was accepted."""
        legs = [await self.strip(leg.job) for leg in job.fallback]
        is_changed = any(left is not leg.job for left, leg in zip(legs, job.fallback, strict=True))
        gone = await self._tombstones.find({one.n: one.address for one in job.recipients}, job.accepted_at)
        if not gone and not is_changed:
            return job
        fallback = tuple(leg.model_copy(update={"job": left}) for left, leg in zip(legs, job.fallback, strict=True))
        recipients = tuple(one for one in job.recipients if one.n not in gone)
        return job.model_copy(update={"recipients": recipients, "fallback": fallback})

    async def report(self, until_ms: int) -> None:
        """Report to history up to which tombstone scheduler has erased people."""
        await self._redis.call("HSET", ERASED, NAME, until_ms)


class ScheduleErasure:
    """Erases people until it is cancelled, also those whom a restored table brought back."""

    def __init__(self, erased: ErasedPeople, store: Store, watermark: Watermark) -> None:
        self._erased = erased
        self._store = store
        self._watermark = watermark
        self._seen: Mapping[str, int] | None = None

    async def run(self) -> None:
        """Erase until cancelled."""
        problem = RecurringProblem(log, "scheduled_jobs_not_erased")
        while True:
            try:
                await self.run_once()
            except (DatabaseUnavailable, RedisUnavailable, RedisRefused) as away:
                problem.note(away)
            else:
                problem.clear()
            await asyncio.sleep(LOOK_S)

    async def run_once(self) -> None:
        """Erase the people of new tombstones. Raises DatabaseUnavailable, RedisUnavailable, RedisRefused."""
        stones = await self._erased.read()
        if stones != self._seen:
            if stones and (count := await self._erase_rows() + await self._erase_fallbacks()):
                await self._store.purge()
                log.info("scheduled_jobs_erased", count=count)
            self._seen = stones
        until_ms = max(stones.values(), default=0)
        if not until_ms or self._watermark.is_past(until_ms):
            await self._erased.report(until_ms)

    async def _erase_rows(self) -> int:
        after, count = "", 0
        while True:
            async with self._store.writing() as rows:
                jobs = await rows.list_after(after, PAGE)
                if not jobs:
                    return count
                after = jobs[-1].request
                for job in jobs:
                    left = await self._erased.strip(job)
                    if left is job:
                        continue
                    count += 1
                    if left.recipients:
                        await rows.strip(left)
                    else:
                        await rows.remove([left.request])

    async def _erase_fallbacks(self) -> int:
        after, count = "", 0
        while True:
            async with self._store.writing() as rows:
                fallbacks = await rows.fallbacks.list_after(after, PAGE)
                if not fallbacks:
                    return count
                after = fallbacks[-1].request
                for fallback in fallbacks:
                    left = await self._erased.strip(fallback.job)
                    if left is not fallback.job:
                        count += 1
                        await rows.fallbacks.strip(fallback.request, left)
