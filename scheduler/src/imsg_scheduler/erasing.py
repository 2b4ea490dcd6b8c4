"""Erasure of people from the scheduled jobs: a tombstone takes their recipients away, and a job that has no other."""

from imsg_contract.wire import Job
from imsg_people.erasing import Stones
from imsg_people.tombstones import Tombstones
from imsg_scheduler.store import Store

PAGE = 100
"""Jobs of one transaction; one may have 10,000 recipients."""


class ScheduleErasure:
    """Erases people from the jobs that wait, and from the legs of fallbacks. Methods raise what the stores raise."""

    def __init__(self, tombstones: Tombstones, store: Store) -> None:
        self._tombstones = tombstones
        self._store = store

    async def strip(self, job: Job) -> Job:
        """Return a job without the recipients who were erased since it was accepted."""
        legs = [await self.strip(leg.job) for leg in job.fallback]
        is_changed = any(left is not leg.job for left, leg in zip(legs, job.fallback, strict=True))
        gone = await self._tombstones.find(
            {recipient.n: recipient.address for recipient in job.recipients}, job.accepted_at
        )
        if not gone and not is_changed:
            return job
        fallback = tuple(leg.model_copy(update={"job": left}) for left, leg in zip(legs, job.fallback, strict=True))
        recipients = tuple(recipient for recipient in job.recipients if recipient.n not in gone)
        return job.model_copy(update={"recipients": recipients, "fallback": fallback})

    async def erase(self, _stones: Stones) -> int:
        """Erase people, and return how many rows changed."""
        count = await self._erase_rows() + await self._erase_fallbacks()
        if count:
            await self._store.purge()
        return count

    async def _erase_rows(self) -> int:
        after, count = "", 0
        while True:
            async with self._store.writing() as rows:
                jobs = await rows.list_after(after, PAGE)
                if not jobs:
                    return count
                after = jobs[-1].request
                for job in jobs:
                    left = await self.strip(job)
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
                    left = await self.strip(fallback.job)
                    if left is not fallback.job:
                        count += 1
                        await rows.fallbacks.strip(fallback.request, left)
