"""What is done from time to time: lost jobs looked for, months made, and what is too old removed."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Gauge
from sqlalchemy import ColumnElement, Connection, Delete, Table, delete, exists, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history import partitions
from imsg_history.content_retention import ContentRetention
from imsg_history.database import BadRow, Database
from imsg_history.ids import first_id, time_of
from imsg_history.migrations import MIGRATIONS
from imsg_history.partitions import Partition
from imsg_history.reply_matching import ReplyMatcher
from imsg_history.stuck import StuckJobs
from imsg_history.tables import attachments, attempts, audit, dead, jobs, messages, receipts, replies, requests
from imsg_runtime.logs import Recurring, logger

log = logger(__name__)

RECEIPTS_WAIT = timedelta(hours=72)

JOBS_KEPT = timedelta(days=4)
"""A job can't be of use for longer: its life is 48 h at most, its extension by blocks 24 h."""

SLICE = 1_000
"""Rows deleted in one transaction, so that the recorder never waits long."""

CLOCKS_APART = timedelta(minutes=1)
"""From here on two clocks that differ are worth a line in the log."""


class Counts:
    """What the sweep tells Prometheus."""

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
class Terms:
    """How long things are left alone."""

    every: timedelta
    retention: timedelta


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Sweeps until it is stopped; several processes on one PostgreSQL don't get into one another's way."""

    lost: StuckJobs
    database: Database
    now: Callable[[], datetime]
    servers_now: Callable[[], Awaitable[datetime]]
    """The database's clock."""
    terms: Terms
    counts: Counts
    contents: ContentRetention | None = None
    reply_matcher: ReplyMatcher | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Sweep again and again."""
        trouble = Recurring(log, "maintenance_delayed")
        while not stopping.is_set():
            try:
                await self.once()
            except (DatabaseUnavailable, BadRow) as error:
                trouble.note(error)
            else:
                trouble.clear()
            try:
                async with asyncio.timeout(self.terms.every.total_seconds()):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def once(self) -> None:
        """Sweep once. Raises DatabaseUnavailable."""
        await self._tell_ages()
        if self.reply_matcher is not None:
            await self.reply_matcher.match(self.now())
        await self.lost.find()
        await self.make_room()

    async def make_room(self) -> None:
        """Make the months to come, and remove what is past its time. Raises DatabaseUnavailable."""
        now = await self._agree()
        oldest = first_id(now - self.terms.retention)
        await self._delete(receipts, receipts.c.kept_at < now - RECEIPTS_WAIT)
        await self._delete(attachments, attachments.c.expires_at < now)
        await self._delete(replies, replies.c.at < now - self.terms.retention)
        await self._delete(dead, dead.c.at < now - self.terms.retention)
        await self._delete(audit, audit.c.at < now - self.terms.retention)
        unsettled = exists().where(
            messages.c.request == jobs.c.request,
            messages.c.status.in_([Status.QUEUED.value, Status.RETRYING.value]),
        )
        await self._delete(jobs, (jobs.c.request < first_id(now - JOBS_KEPT)) & ~unsettled)
        await self._delete(jobs, jobs.c.request < oldest)
        if self.database.is_postgres:
            await self._turn_months(now)
        for table in (attempts, messages, requests):
            await self._delete(table, table.c.request < oldest)
        if self.contents is not None:
            self.counts.contents.inc(await self.contents.erase(now, self.terms.retention))

    async def _tell_ages(self) -> None:
        """Measure what waits by the tables: RabbitMQ says of no queue how old its head is, and theirs is an index."""
        now = self.now()
        for method in self.lost.broker.topology.methods:
            oldest = (
                select(messages.c.request)
                .where(messages.c.method == method, messages.c.status == Status.QUEUED.value)
                .order_by(messages.c.request)
                .limit(1)
            )
            request = await self.database.read(lambda connection: connection.scalar(oldest))  # noqa: B023  awaited at once
            age = now - time_of(request) if request is not None else timedelta()
            self.counts.oldest.labels(method).set(max(age.total_seconds(), 0.0))

    async def _agree(self) -> datetime:
        """Tell the time that both clocks have reached: one that runs ahead would remove what is to stay."""
        ours, theirs = self.now(), await self.servers_now()
        self.counts.ahead.set((ours - theirs).total_seconds())
        if abs(ours - theirs) > CLOCKS_APART:
            log.warning("clocks_differ", ahead_of_database_s=round((ours - theirs).total_seconds()))
        return min(ours, theirs)

    async def _turn_months(self, now: datetime) -> None:
        """Make and drop partitions, each in a transaction of its own: nobody waits for more than one."""
        before = now - self.terms.retention
        for partition in await self._list_partitions(
            lambda connection: partitions.list_missing(connection, now, before)
        ):
            if await self._change(lambda connection, one=partition: partitions.make(connection, one)):  # type: ignore[misc]
                log.info("partition_made", name=partition.name)
        for partition in await self._list_partitions(lambda connection: partitions.list_outdated(connection, before)):
            if await self._change(lambda connection, one=partition: partitions.drop(connection, one)):  # type: ignore[misc]
                log.info("partition_dropped", name=partition.name)
                self.counts.dropped.inc()

    async def _list_partitions(self, look: Callable[[Connection], list[Partition]]) -> list[Partition]:
        return await self.database.read(lambda connection: connection.run_sync(look))

    async def _change(self, change: Callable[[Connection], bool]) -> bool:
        def alone(connection: Connection) -> bool:
            if not connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({MIGRATIONS.lock})")):
                return False  # another sweeps, or migrates
            return change(connection)

        return await self.database.write(lambda connection: connection.run_sync(alone))

    async def _delete(self, table: Table, condition: ColumnElement[bool]) -> None:
        key = list(table.primary_key.columns)
        some = select(*key).where(condition).limit(SLICE)
        one = tuple_(*key) if len(key) > 1 else key[0]
        removed = SLICE
        while removed == SLICE:
            removed = await self.database.write(
                lambda connection: _remove(connection, delete(table).where(one.in_(some)))
            )
            self.counts.removed.labels(table.name).inc(removed)


async def _remove(connection: AsyncConnection, statement: Delete) -> int:
    return (await connection.execute(statement)).rowcount
