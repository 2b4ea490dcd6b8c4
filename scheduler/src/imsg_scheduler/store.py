"""The scheduled jobs, in transactions."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.topology import Lane
from imsg_contract.wire import Category, Job
from imsg_database.database import Database
from imsg_database.engines import is_postgres
from imsg_database.inserts import insert_into
from imsg_scheduler.tables import IS_HELD, SCHEDULED

_LANES = tuple(Lane)


class Due(NamedTuple):
    """A job that is due."""

    job: Job
    at_any_hour: bool
    """Whether it goes although no window is open."""


class HeldGroup(NamedTuple):
    """Held jobs that are judged alike."""

    method: str
    category: Category
    held_by: str
    due_ms: int


def to_ms(job: Job) -> int:
    """Return when a job is due, in Unix milliseconds. Raises ValueError for a job that is not scheduled."""
    if job.waits_until is None:
        raise ValueError("the job has no time to wait for")
    return round(job.waits_until.timestamp() * 1_000)


class Rows:
    """The rows of one transaction. Every call raises DatabaseUnavailable."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, jobs: Sequence[Job]) -> None:
        """Add jobs; one that is there already stays as it is."""
        rows = [write_row(job) for job in jobs]
        insert = insert_into(SCHEDULED, is_postgres=is_postgres(self._connection)).on_conflict_do_nothing()
        if rows:
            await self._connection.execute(insert, rows)

    async def lock(self, request: str) -> Job | None:
        """Read a job, and let no other transaction release or change it until this one ends."""
        query = select(SCHEDULED.c.body).where(SCHEDULED.c.request == request).with_for_update()
        body = (await self._connection.execute(query)).scalar()
        return None if body is None else Job.model_validate_json(body)

    async def find_due(self, now_ms: int, limit: int) -> list[Due]:
        """Lock jobs that are due and that no other transaction has, the most urgent first."""
        found: list[Due] = []
        for urgency in range(len(_LANES)):
            if len(found) == limit:
                break
            query = (
                select(SCHEDULED.c.body, SCHEDULED.c.at_any_hour)
                .where(SCHEDULED.c.urgency == urgency, SCHEDULED.c.due_ms <= now_ms)
                .order_by(SCHEDULED.c.due_ms)
                .limit(limit - len(found))
                .with_for_update(skip_locked=True)
            )
            rows = await self._connection.execute(query)
            found += [Due(Job.model_validate_json(body), at_any_hour) for body, at_any_hour in rows]
        return found

    async def release(self, now_ms: int, *, request: str | None = None, held_by: str | None = None) -> int:
        """Let a request, or all that a window holds, be due now whatever the hour; return their number."""
        chosen = SCHEDULED.c.held_by == held_by if request is None else SCHEDULED.c.request == request
        is_waiting = chosen & ~SCHEDULED.c.at_any_hour & (SCHEDULED.c.due_ms > now_ms)
        changed = await self._connection.execute(
            update(SCHEDULED).where(is_waiting).values(due_ms=now_ms, at_any_hour=True)
        )
        return changed.rowcount

    async def list_held(self) -> list[HeldGroup]:
        """Read which jobs are held, by whom and until when."""
        columns = (SCHEDULED.c.method, SCHEDULED.c.category, SCHEDULED.c.held_by, SCHEDULED.c.due_ms)
        rows = await self._connection.execute(select(*columns).where(IS_HELD, ~SCHEDULED.c.at_any_hour).distinct())
        return [HeldGroup(method, Category(category), held_by, due_ms) for method, category, held_by, due_ms in rows]

    async def judge_anew(self, group: HeldGroup, now_ms: int) -> None:
        """Let held jobs be due now, so that the windows of now are looked at."""
        columns = {name: SCHEDULED.c[name] for name in HeldGroup._fields}
        alike = [columns[name] == value for name, value in group._asdict().items()]
        await self._connection.execute(update(SCHEDULED).where(*alike, ~SCHEDULED.c.at_any_hour).values(due_ms=now_ms))

    async def find_oldest_ms(self) -> int | None:
        """Return when the first job is due; None without any."""
        query = select(func.min(SCHEDULED.c.due_ms))
        firsts = [
            (await self._connection.execute(query.where(SCHEDULED.c.urgency == urgency))).scalar()
            for urgency in range(len(_LANES))
        ]
        return min((first for first in firsts if first is not None), default=None)

    async def list_after(self, request: str, limit: int) -> list[Job]:
        """Read the jobs after an id, in the order of ids, and lock them."""
        query = (
            select(SCHEDULED.c.body)
            .where(SCHEDULED.c.request > request)
            .order_by(SCHEDULED.c.request)
            .limit(limit)
            .with_for_update()
        )
        return [Job.model_validate_json(body) for body in (await self._connection.execute(query)).scalars()]

    async def change(self, job: Job) -> None:
        """Write a job whose time has changed."""
        await self._connection.execute(
            update(SCHEDULED).where(SCHEDULED.c.request == job.request).values(write_row(job))
        )

    async def hold(self, job: Job, now_ms: int) -> None:
        """Write a job that is held now, unless it was changed since it was found due."""
        still_due = (SCHEDULED.c.request == job.request, SCHEDULED.c.due_ms <= now_ms, ~SCHEDULED.c.at_any_hour)
        await self._connection.execute(update(SCHEDULED).where(*still_due).values(write_row(job)))

    async def strip(self, job: Job) -> None:
        """Write a job that has lost recipients."""
        of_job = SCHEDULED.c.request == job.request
        await self._connection.execute(update(SCHEDULED).where(of_job).values(body=job.encode()))

    async def remove(self, requests: Sequence[str]) -> None:
        """Remove jobs."""
        await self._connection.execute(delete(SCHEDULED).where(SCHEDULED.c.request.in_(requests)))


class Store:
    """Transactions over the scheduled jobs. Entering, leaving and every statement raise DatabaseUnavailable."""

    def __init__(self, database: Database, *, is_postgres: bool) -> None:
        self._database = database
        self.is_postgres = is_postgres

    async def purge(self) -> None:
        """Remove deleted data from the database's files."""
        await self._database.purge()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Rows]:
        """Open a transaction that only reads."""
        async with self._database.reading() as connection:
            yield Rows(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Rows]:
        """Open a transaction that may write; it commits unless the block raises."""
        async with self._database.writing() as connection:
            yield Rows(connection)


def write_row(job: Job) -> Mapping[str, Any]:
    """Return the row of a job."""
    return {
        "request": job.request,
        "user_id": job.user_id,
        "urgency": _LANES.index(job.lane),
        "due_ms": to_ms(job),
        "method": job.method,
        "category": job.category.value,
        "held_by": job.held_by,
        "at_any_hour": False,
        "body": job.encode(),
    }
