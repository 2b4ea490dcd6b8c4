"""Periodic maintenance: stuck jobs are published again, partitions created, old rows deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import ColumnElement, Connection, Delete, Table, delete, exists, func, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import OPEN, Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history import partitions
from imsg_history.code_redaction import SLICE as CODES
from imsg_history.code_redaction import redact_codes
from imsg_history.content_retention import ContentRetention
from imsg_history.database import BadRow, Database
from imsg_history.ids import first_id
from imsg_history.migrations import MIGRATIONS
from imsg_history.partitions import Partition
from imsg_history.reply_matching import ReplyMatcher
from imsg_history.stuck import StuckJobs
from imsg_history.tables import (
    attachments,
    attempts,
    audit,
    dead,
    early_progress,
    jobs,
    messages,
    receipts,
    replies,
    report_parts,
    reports,
    requests,
)
from imsg_history.waiting import wait_for_any
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

RECEIPT_RETENTION = timedelta(hours=72)

JOB_RETENTION = timedelta(days=4)
"""No job is published again later: its life is 48 h at most, its extension by blocks 24 h."""

HAS_DELETE_OLD_AUDIT = "SELECT to_regprocedure('delete_old_audit(timestamptz)') IS NOT NULL"
"""Whether there is the function that deploy/postgres/roles.sh makes."""

FIRST_QUEUED = 200
"""Queued messages of a method among which the oldest is searched; those that were scheduled have the oldest ids."""

SLICE = 1_000
"""Rows deleted in one transaction, so that writers do not wait long."""

MAX_CLOCK_DIFFERENCE = timedelta(minutes=1)
"""By how much two clocks may differ before it is logged."""


class MaintenanceMetrics:
    """Metrics of maintenance."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.removed = Counter(
            "imsg_history_rows_removed_total", "Rows removed for their age", ["table"], registry=registry
        )
        self.dropped = Counter("imsg_history_partitions_dropped_total", "Months dropped whole", registry=registry)
        self.contents = Counter(
            "imsg_history_contents_erased_total", "Requests whose content was erased for its age", registry=registry
        )
        self.ahead = Gauge(
            "imsg_history_clock_ahead_seconds",
            "By how much this process' clock is ahead of the database's",
            registry=registry,
        )
        self.oldest = Gauge(
            "imsg_queue_oldest_age_seconds",
            "For how long a channel's oldest message has waited for its first attempt",
            ["method"],
            registry=registry,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often maintenance runs, and how long rows are kept."""

    every: timedelta
    retention: timedelta
    audit_retention: timedelta = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Runs maintenance until it is stopped; several processes may share one PostgreSQL."""

    stuck_jobs: StuckJobs
    database: Database
    now: Callable[[], datetime]
    database_now: Callable[[], Awaitable[datetime]]
    """The database's clock."""
    schedule: Schedule
    metrics: MaintenanceMetrics
    contents: ContentRetention | None = None
    reply_matcher: ReplyMatcher | None = None
    clock_problem: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "clocks_differ"), compare=False
    )

    async def run(self, stopping: asyncio.Event) -> None:
        """Run maintenance until `stopping`."""
        problem = RecurringProblem(log, "maintenance_delayed")
        while not stopping.is_set():
            with problem.catch(DatabaseUnavailable, BadRow):
                await self.run_once()
            await wait_for_any(stopping, within_s=self.schedule.every.total_seconds())

    async def run_once(self) -> None:
        """Run maintenance once. Raises DatabaseUnavailable."""
        await self._measure_ages()
        if self.reply_matcher is not None:
            await self.reply_matcher.match(self.now())
        await self.stuck_jobs.republish()
        await self.delete_old()

    async def delete_old(self) -> None:
        """Create the partitions of the coming months, and delete what is too old. Raises DatabaseUnavailable."""
        now = await self._find_agreed_time()
        oldest = first_id(now - self.schedule.retention)
        await self._delete_rows(receipts, receipts.c.kept_at < now - RECEIPT_RETENTION)
        await self._delete_rows(attachments, attachments.c.expires_at < now)
        await self._delete_rows(replies, replies.c.at < now - self.schedule.retention)
        await self._delete_rows(dead, dead.c.at < now - self.schedule.retention)
        await self._delete_audit(now)
        await self._delete_rows(reports, reports.c.expires_at < now)
        is_kept = exists().where(reports.c.id == report_parts.c.report)
        await self._delete_rows(report_parts, ~is_kept)
        unsettled = exists().where(
            messages.c.request == jobs.c.request,
            messages.c.status.in_(OPEN),
        )
        await self._delete_rows(jobs, (jobs.c.request < first_id(now - JOB_RETENTION)) & ~unsettled)
        await self._delete_rows(jobs, jobs.c.request < oldest)
        if self.database.is_postgres:
            await self._rotate_partitions(now)
        for table in (attempts, messages, requests, early_progress):
            await self._delete_rows(table, table.c.request < oldest)
        while await self.database.write(redact_codes) == CODES:
            pass  # those that two histories settled at the same time
        if self.contents is not None:
            self.metrics.contents.inc(await self.contents.erase(now, self.schedule.retention))

    async def _delete_audit(self, now: datetime) -> None:
        """Delete the audit's oldest lines: at PostgreSQL by the function of its owner, where history is not it."""
        before = now - self.schedule.audit_retention
        if self.database.is_postgres and await self.database.scalar(text(HAS_DELETE_OLD_AUDIT)):
            removed = await self.database.write(
                lambda connection: connection.scalar(select(func.delete_old_audit(before)))
            )
            self.metrics.removed.labels(audit.name).inc(removed or 0)
        else:
            await self._delete_rows(audit, audit.c.at < before)

    async def _measure_ages(self) -> None:
        """Measure the age of each channel's oldest message, which RabbitMQ does not know of a queue."""
        now = self.now()
        for method in self.stuck_jobs.broker.topology.methods:
            first = (
                select(messages.c.at)
                .where(messages.c.method == method, messages.c.status == Status.QUEUED.value)
                .order_by(messages.c.request)
                .limit(FIRST_QUEUED)
                .subquery()
            )
            oldest = await self.database.scalar(select(func.min(first.c.at)))
            age = now - oldest if oldest is not None else timedelta()
            self.metrics.oldest.labels(method).set(max(age.total_seconds(), 0.0))

    async def _find_agreed_time(self) -> datetime:
        """Return the time that both clocks have reached: a clock that is ahead would delete rows too early."""
        own, database_time = self.now(), await self.database_now()
        self.metrics.ahead.set((own - database_time).total_seconds())
        if abs(own - database_time) > MAX_CLOCK_DIFFERENCE:
            ahead_s = round((own - database_time).total_seconds())
            self.clock_problem.report("set the clock of this machine or of the database's", ahead_of_database_s=ahead_s)
        else:
            self.clock_problem.clear()
        return min(own, database_time)

    async def _rotate_partitions(self, now: datetime) -> None:
        """Create and drop partitions, each in its own transaction, so that others wait for one at most."""
        oldest = now - self.schedule.retention
        for partition in await self._list_partitions(partial(partitions.list_missing, now=now, oldest=oldest)):
            if await self._change_alone(partial(partitions.create, partition=partition)):
                log.info("partition_created", name=partition.name)
        for partition in await self._list_partitions(partial(partitions.list_outdated, before=oldest)):
            if await self._change_alone(partial(partitions.drop, partition=partition)):
                log.info("partition_dropped", name=partition.name)
                self.metrics.dropped.inc()

    async def _list_partitions(self, list_from: Callable[[Connection], list[Partition]]) -> list[Partition]:
        return await self.database.read(lambda connection: connection.run_sync(list_from))

    async def _change_alone(self, change: Callable[[Connection], bool]) -> bool:
        def change_locked(connection: Connection) -> bool:
            if not connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({MIGRATIONS.lock})")):
                return False  # another process runs maintenance, or migrates
            return change(connection)

        return await self.database.write(lambda connection: connection.run_sync(change_locked))

    async def _delete_rows(self, table: Table, condition: ColumnElement[bool]) -> None:
        key = list(table.primary_key.columns)
        oldest_rows = select(*key).where(condition).limit(SLICE)
        key_of_row = tuple_(*key) if len(key) > 1 else key[0]
        removed = SLICE
        while removed == SLICE:
            removed = await self.database.write(
                lambda connection: _execute_delete(connection, delete(table).where(key_of_row.in_(oldest_rows)))
            )
            self.metrics.removed.labels(table.name).inc(removed)


async def _execute_delete(connection: AsyncConnection, statement: Delete) -> int:
    return (await connection.execute(statement)).rowcount
