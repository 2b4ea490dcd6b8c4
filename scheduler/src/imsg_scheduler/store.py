"""The scheduled jobs and the cancels, in transactions."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, distinct, exists, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.topology import Lane
from imsg_contract.wire import Category, Job
from imsg_database.arrays import is_one_of
from imsg_database.database import Database
from imsg_database.engines import is_postgres
from imsg_database.inserts import insert_into
from imsg_database.transactions import Transactions
from imsg_limits.windows import Calendar
from imsg_scheduler.cancels import Cancel, Totals
from imsg_scheduler.fallback_rows import FallbackRows
from imsg_scheduler.tables import ALL_MESSAGES, CANCELS, IS_HELD, SCHEDULED

_LANES = tuple(Lane)


class Due(NamedTuple):
    """A job that is due."""

    job: Job
    at_any_hour: bool
    """Whether it goes although no window is open."""


class WaitingJob(NamedTuple):
    """A job that waits."""

    job: Job
    is_releasing: bool
    """It may have been published."""


class CancelFilter(NamedTuple):
    """Selects the requests that are cancelled together; None: any."""

    user_id: str | None
    reference: str | None = None
    held_by: str | None = None


class HeldGroup(NamedTuple):
    """Held jobs that are decided on alike."""

    method: str
    category: Category
    held_by: str
    due_ms: int

    def is_held_by(self, calendar: Calendar, now_ms: int) -> bool:
        """Return whether a calendar holds them as they are held: by this window, until this time."""
        hold = calendar.find_hold(self.method, self.category, datetime.fromtimestamp(now_ms / 1_000, UTC))
        return hold is not None and (hold.until_ms, hold.by) == (self.due_ms, self.held_by)


def to_ms(job: Job) -> int:
    """Return when a job is due, in Unix milliseconds; one with a fallback may be due at once."""
    return round((job.waits_until or job.accepted_at).timestamp() * 1_000)


class Rows:
    """The rows of one transaction. Every call raises DatabaseUnavailable."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @property
    def fallbacks(self) -> FallbackRows:
        """The requests with a fallback."""
        return FallbackRows(self._connection)

    async def add(self, jobs: Sequence[Job]) -> None:
        """Add jobs; one that is there already stays as it is. What was cancelled does not come back.

        The further legs of a job are kept apart.
        """
        gone = await self.find_cancelled([job.request for job in jobs])
        await self.fallbacks.add([job for job in jobs if job.fallback], gone)
        left = [_leave_out(job, gone[job.request]) if job.request in gone else job for job in jobs]
        left = [job for job in left if job.recipients]
        rows = [write_row(job.model_copy(update={"fallback": ()}) if job.fallback else job) for job in left]
        insert = insert_into(SCHEDULED, is_postgres=is_postgres(self._connection)).on_conflict_do_nothing()
        if rows:
            await self._connection.execute(insert, rows)

    async def find_cancelled(self, requests: Sequence[str]) -> Mapping[str, set[int]]:
        """Return request → the numbers of its messages that were cancelled, ALL_MESSAGES among them."""
        is_named = is_one_of(CANCELS.c.request, requests, is_postgres=is_postgres(self._connection))
        cancelled: dict[str, set[int]] = {}
        for row in await self._connection.execute(select(CANCELS.c.request, CANCELS.c.n).where(is_named)):
            cancelled.setdefault(row.request, set()).add(row.n)
        return cancelled

    async def lock(self, request: str) -> "WaitingJob | None":
        """Read a job, and let no other transaction release or change it until this one ends."""
        query = select(SCHEDULED.c.body, SCHEDULED.c.releasing).where(SCHEDULED.c.request == request).with_for_update()
        row = (await self._connection.execute(query)).first()
        return None if row is None else WaitingJob(Job.model_validate_json(row.body), bool(row.releasing))

    async def lock_chosen(self, chosen: CancelFilter, limit: int) -> list[Job]:
        """Lock jobs that wait and are not being released."""
        are_chosen = [SCHEDULED.c[name] == value for name, value in chosen._asdict().items() if value is not None]
        query = select(SCHEDULED.c.body).where(*are_chosen, SCHEDULED.c.releasing == 0).limit(limit).with_for_update()
        return [Job.model_validate_json(body) for body in (await self._connection.execute(query)).scalars()]

    async def has_due(self, now_ms: int) -> bool:
        """Return whether any job is due, released in part or not at all."""
        is_due = SCHEDULED.c.urgency.in_(range(len(_LANES))) & (SCHEDULED.c.due_ms <= now_ms)
        return bool((await self._connection.execute(select(exists().where(is_due)))).scalar())

    async def mark_due(self, now_ms: int, limit: int) -> int:
        """Mark jobs that are due as being released, the most urgent first; return their number."""
        marked = 0
        for urgency in range(len(_LANES)):
            if marked == limit:
                break
            due = (
                select(SCHEDULED.c.request)
                .where(SCHEDULED.c.urgency == urgency, SCHEDULED.c.due_ms <= now_ms, SCHEDULED.c.releasing == 0)
                .order_by(SCHEDULED.c.due_ms)
                .limit(limit - marked)
                .with_for_update(skip_locked=True)
            )
            names = (await self._connection.execute(due)).scalars().all()
            if names:
                is_due = is_one_of(SCHEDULED.c.request, names, is_postgres=is_postgres(self._connection))
                await self._connection.execute(update(SCHEDULED).where(is_due).values(releasing=1))
            marked += len(names)
        return marked

    async def mark_due_of(self, requests: Sequence[str], now_ms: int) -> None:
        """Mark those of the requests that are due, as may have been released before: a cancel asks the claims."""
        if requests:
            is_named = is_one_of(SCHEDULED.c.request, requests, is_postgres=is_postgres(self._connection))
            await self._connection.execute(
                update(SCHEDULED).where(is_named, SCHEDULED.c.due_ms <= now_ms).values(releasing=1)
            )

    async def find_due(self, now_ms: int, limit: int) -> list[Due]:
        """Lock jobs that are being released and that no other transaction has, the most urgent first."""
        due_jobs: list[Due] = []
        for urgency in range(len(_LANES)):
            if len(due_jobs) == limit:
                break
            query = (
                select(SCHEDULED.c.body, SCHEDULED.c.at_any_hour)
                .where(SCHEDULED.c.urgency == urgency, SCHEDULED.c.due_ms <= now_ms, SCHEDULED.c.releasing == 1)
                .order_by(SCHEDULED.c.due_ms)
                .limit(limit - len(due_jobs))
                .with_for_update(skip_locked=True)
            )
            rows = await self._connection.execute(query)
            due_jobs += [Due(Job.model_validate_json(body), at_any_hour) for body, at_any_hour in rows]
        return due_jobs

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

    async def decide_again(self, group: HeldGroup, now_ms: int) -> None:
        """Let held jobs be due now, so that the windows of now are looked at."""
        columns = {name: SCHEDULED.c[name] for name in HeldGroup._fields}
        alike = [columns[name] == value for name, value in group._asdict().items()]
        await self._connection.execute(update(SCHEDULED).where(*alike, ~SCHEDULED.c.at_any_hour).values(due_ms=now_ms))

    async def find_oldest(self, methods: Sequence[str]) -> Mapping[str, int]:
        """Return method → when its first job is due, in Unix milliseconds; a method without any is left out."""
        query = select(func.min(SCHEDULED.c.due_ms))
        oldest: dict[str, int] = {}
        for method in methods:
            first = (await self._connection.execute(query.where(SCHEDULED.c.method == method))).scalar()
            if first is not None:
                oldest[method] = first
        return oldest

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
        is_gone = is_one_of(SCHEDULED.c.request, requests, is_postgres=is_postgres(self._connection))
        await self._connection.execute(delete(SCHEDULED).where(is_gone))

    async def find_cancel(self, request: str, n: int) -> Cancel | None:
        """Read a cancel."""
        query = select(CANCELS).where(CANCELS.c.request == request, CANCELS.c.n == n)
        row = (await self._connection.execute(query)).first()
        return None if row is None else Cancel.read(row)

    async def list_cancels(self, requests: Sequence[str]) -> list[Cancel]:
        """Read the cancels of all messages of requests."""
        is_named = is_one_of(CANCELS.c.request, requests, is_postgres=is_postgres(self._connection))
        query = select(CANCELS).where(is_named, CANCELS.c.n == ALL_MESSAGES)
        return [Cancel.read(row) for row in await self._connection.execute(query)]

    async def sum_chosen(self, chosen: CancelFilter) -> Totals:
        """Add up what was answered of requests."""
        sums = [func.coalesce(func.sum(CANCELS.c[name]), 0) for name in Totals._fields]
        are_chosen = [CANCELS.c[name] == value for name, value in chosen._asdict().items() if value is not None]
        row = (await self._connection.execute(select(*sums).where(*are_chosen, CANCELS.c.n == ALL_MESSAGES))).one()
        return Totals(*map(int, row))

    async def add_cancels(self, cancels: Sequence[Cancel]) -> None:
        """Add cancels; one that is there already stays as it is."""
        insert = insert_into(CANCELS, is_postgres=is_postgres(self._connection)).on_conflict_do_nothing()
        if cancels:
            await self._connection.execute(insert, [cancel.write() for cancel in cancels])

    async def finish_cancels(self, cancels: Sequence[Cancel]) -> None:
        """Keep what was answered, and forget what was cancelled."""
        statement = (
            update(CANCELS)
            .where(CANCELS.c.request == bindparam("of"), CANCELS.c.n == bindparam("number"))
            .values({**{name: bindparam(name) for name in Totals._fields}, "body": None})
        )
        parameters = [
            {"of": cancel.request, "number": cancel.n, **cancel.totals._asdict()}
            for cancel in cancels
            if cancel.totals is not None
        ]
        if parameters:
            await self._connection.execute(statement, parameters)

    async def list_unfinished(self, before_ms: int, limit: int) -> list[Cancel]:
        """Read the cancels whose outcomes are not published yet."""
        query = (
            select(CANCELS).where(CANCELS.c.body.is_not(None), CANCELS.c.at_ms < before_ms).order_by(CANCELS.c.at_ms)
        )
        return [Cancel.read(row) for row in await self._connection.execute(query.limit(limit))]

    async def list_published(self, after: tuple[str, int], limit: int) -> list[tuple[str, int]]:
        """Read the next (request, n) of which senders have to know."""
        key = tuple_(CANCELS.c.request, CANCELS.c.n)
        query = select(CANCELS.c.request, CANCELS.c.n).where(CANCELS.c.is_published == 1, key > tuple_(*after))
        rows = await self._connection.execute(query.order_by(CANCELS.c.request, CANCELS.c.n).limit(limit))
        return [(row.request, row.n) for row in rows]

    async def count_published(self) -> int:
        """Return of how many requests senders have to know."""
        query = select(func.count(distinct(CANCELS.c.request))).where(CANCELS.c.is_published == 1)
        return int((await self._connection.execute(query)).scalar_one())

    async def remove_old_cancels(self, now_ms: int) -> list[str]:
        """Remove the cancels that are not kept any longer; return their requests."""
        removed = delete(CANCELS).where(CANCELS.c.keep_until_ms < now_ms).returning(CANCELS.c.request)
        return list((await self._connection.execute(removed)).scalars())


class Store(Transactions[Rows]):
    """Transactions over both."""

    def __init__(self, database: Database, *, is_postgres: bool) -> None:
        super().__init__(database, Rows)
        self.is_postgres = is_postgres


def _leave_out(job: Job, cancelled: Collection[int]) -> Job:
    is_whole = ALL_MESSAGES in cancelled
    left = tuple(recipient for recipient in job.recipients if not is_whole and recipient.n not in cancelled)
    return job.model_copy(update={"recipients": left})


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
        "reference": job.reference,
        "releasing": 0,
        "body": job.encode(),
    }
