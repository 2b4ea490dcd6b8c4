"""The requests with a fallback, in a transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import Job
from imsg_database.engines import is_postgres
from imsg_database.inserts import insert_into
from imsg_scheduler.people import LegRule, People
from imsg_scheduler.tables import ALL_MESSAGES, CANCELS, FALLBACK_LEGS, FALLBACKS

NEVER_MS = 2**62
"""Of a request that is not released yet: nothing is due."""


@dataclass(frozen=True)
class Fallback:
    """One request with a fallback."""

    request: str
    due_ms: int
    ends_ms: int
    blob: bytes
    plan: bytes
    cancelled: frozenset[str]
    """The further legs that were cancelled by their own ids."""

    @cached_property
    def job(self) -> Job:
        """The job of the first leg, with the further ones."""
        return Job.model_validate_json(self.plan)

    @cached_property
    def jobs(self) -> Sequence[Job]:
        """The job of each leg."""
        return (self.job, *(leg.job for leg in self.job.fallback))

    def read_people(self) -> People:
        """Return its people."""
        afters = (0, *(leg.after_s for leg in self.job.fallback))
        rules = [
            LegRule(
                job.until or "sent",
                after_s,
                frozenset(recipient.n for recipient in job.recipients),
                is_cancelled=job.request in self.cancelled,
            )
            for job, after_s in zip(self.jobs, afters, strict=True)
        ]
        return People.decode(rules, self.blob)


class FallbackRows:
    """The rows of one transaction. Every call raises DatabaseUnavailable."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, jobs: Sequence[Job], cancelled: Mapping[str, Collection[int]]) -> None:
        """Add requests that are not released yet; one that is there already stays as it is.

        `cancelled` are the messages for which no leg is begun any more; ALL_MESSAGES: all of the request.
        """
        for job in jobs:
            count = max(recipient.n for recipient in job.recipients) + 1
            people, gone = People.begin((), count), cancelled.get(job.request, ())
            people.stop(range(count) if ALL_MESSAGES in gone else gone)
            row = {
                "request": job.request,
                "due_ms": NEVER_MS if (due_ms := people.find_due_ms()) is None else due_ms,
                "ends_ms": NEVER_MS,
                "people": people.encode(),
                "plan": job.encode(),
            }
            legs = [{"leg": name, "request": job.request} for name in (job.request, *_name_legs(job))]
            for table, values in ((FALLBACKS, [row]), (FALLBACK_LEGS, legs)):
                insert = insert_into(table, is_postgres=is_postgres(self._connection)).on_conflict_do_nothing()
                await self._connection.execute(insert, values)

    async def find_requests(self, legs: Collection[str]) -> Mapping[str, str]:
        """Return the request of each leg that is known."""
        query = select(FALLBACK_LEGS.c.leg, FALLBACK_LEGS.c.request).where(FALLBACK_LEGS.c.leg.in_(legs))
        return {row.leg: row.request for row in await self._connection.execute(query)}

    async def find(self, request: str) -> Fallback | None:
        """Read a request."""
        row = (await self._connection.execute(select(FALLBACKS).where(FALLBACKS.c.request == request))).first()
        return None if row is None else await self._read(row)

    async def lock(self, request: str) -> Fallback | None:
        """Read a request, and let no other transaction change it until this one ends."""
        query = select(FALLBACKS).where(FALLBACKS.c.request == request).with_for_update()
        row = (await self._connection.execute(query)).first()
        return None if row is None else await self._read(row)

    async def lock_due(self, now_ms: int) -> Fallback | None:
        """Lock a request for which there is something to do, and that no other transaction has."""
        query = select(FALLBACKS).where(FALLBACKS.c.due_ms <= now_ms).order_by(FALLBACKS.c.due_ms).limit(1)
        row = (await self._connection.execute(query.with_for_update(skip_locked=True))).first()
        return None if row is None else await self._read(row)

    async def list_after(self, request: str, limit: int) -> list[Fallback]:
        """Read the requests after an id, in the order of ids, and lock them."""
        query = select(FALLBACKS).where(FALLBACKS.c.request > request).order_by(FALLBACKS.c.request).limit(limit)
        rows = (await self._connection.execute(query.with_for_update())).all()
        return [await self._read(row) for row in rows]

    async def begin(self, request: str, job: Job, now_ms: int) -> None:
        """Record that a request was released, as `job`."""
        fallback = await self.lock(request)
        if fallback is None:
            return
        people = fallback.read_people()
        people.release(0, [recipient.n for recipient in fallback.job.recipients], now_ms)
        ends_ms = round(job.expires_at.timestamp() * 1_000)
        ends_ms += sum(leg.lifetime_s or 0 for leg in fallback.job.fallback) * 1_000
        await self.write(replace(fallback, ends_ms=ends_ms), people, people.find_due_ms())

    async def write(self, fallback: Fallback, people: People, due_ms: int | None) -> None:
        """Write what has changed; `due_ms` is when there is something to do next, its end at the latest."""
        values = {
            "due_ms": min(NEVER_MS if due_ms is None else due_ms, fallback.ends_ms),
            "ends_ms": fallback.ends_ms,
            "people": people.encode(),
        }
        await self._connection.execute(update(FALLBACKS).where(FALLBACKS.c.request == fallback.request).values(values))

    async def stop(self, fallback: Fallback, n: int) -> list[Job]:
        """Begin no further leg for some people, or for all; return those that were begun.

        The rest of it is done by `Fallbacks.advance`.
        """
        people = fallback.read_people()
        begun = people.stop(range(len(people)) if n == ALL_MESSAGES else [n])
        await self.write(fallback, people, people.find_due_ms())
        jobs = []
        for leg, job in enumerate(fallback.jobs):
            recipients = tuple(recipient for recipient in job.recipients if (leg, recipient.n) in begun)
            if recipients:
                jobs.append(job.model_copy(update={"recipients": recipients}))
        return jobs

    async def find_running(self, requests: Collection[str]) -> set[str]:
        """Return which requests have people who are not reached or given up."""
        query = select(FALLBACKS.c.request).where(FALLBACKS.c.request.in_(requests))
        return set((await self._connection.execute(query)).scalars())

    async def strip(self, request: str, plan: Job) -> None:
        """Write a plan that has lost recipients."""
        await self._connection.execute(
            update(FALLBACKS).where(FALLBACKS.c.request == request).values(plan=plan.encode())
        )

    async def remove(self, request: str) -> None:
        """Remove a request whose people have all ended."""
        for table in (FALLBACKS, FALLBACK_LEGS):
            await self._connection.execute(delete(table).where(table.c.request == request))

    async def _read(self, row: Row[Any]) -> Fallback:
        """Read a row with its cancelled legs, so that who has found it sees a cancel as a change."""
        of_legs = (CANCELS.c.request == FALLBACK_LEGS.c.leg) & (CANCELS.c.n == ALL_MESSAGES)
        is_further = (FALLBACK_LEGS.c.request == row.request) & (FALLBACK_LEGS.c.leg != row.request)
        query = select(FALLBACK_LEGS.c.leg).join(CANCELS, of_legs).where(is_further)
        cancelled = frozenset((await self._connection.execute(query)).scalars())
        return Fallback(row.request, row.due_ms, row.ends_ms, bytes(row.people), bytes(row.plan), cancelled)


def _name_legs(job: Job) -> list[str]:
    return [leg.job.request for leg in job.fallback]
