"""What is done from time to time: lost jobs published again, months made, and what is too old removed."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product

from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import ColumnElement, Connection, Delete, Table, delete, exists, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_history import partitions
from imsg_history.database import BadRow, Database
from imsg_history.ids import first_id, time_of
from imsg_history.migrations import STEPS
from imsg_history.tables import attachments, attempts, audit, dead, jobs, messages, receipts, requests
from imsg_shared.broker import Broker, PublishRefused, PublishUnknown, Unreachable
from imsg_shared.observe import logger
from imsg_shared.topology import Lane
from imsg_shared.wire import Status
from imsg_store.away import StoreAway

log = logger(__name__)

RECEIPTS_WAIT = timedelta(hours=72)

JOBS_KEPT = timedelta(days=3)
"""A job can't be of use for longer: its life and its extension are 24 h each at most."""

MOST_REPEATS = 5
"""How often a job is published again, each time after four times as long: what five times did not help, won't."""

BACKLOG_OF_HISTORY = 1_000
"""With more than this waiting for us, outcomes may be among it: nobody is called lost."""

SLICE = 1_000
"""Rows deleted in one transaction, so that the recorder never waits long."""

LOST_AT_ONCE = 200

LOOKED_THROUGH = 20_000
"""How many of a method's newest messages are looked through for one of the lane: two long lists."""


class Counts:
    """What the sweep tells Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.repeated = Counter("imsg_history_repeated_total", "Lost jobs published again", registry=registry)
        self.removed = Counter("imsg_history_removed_total", "Rows removed for their age", registry=registry)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things are left alone."""

    every: timedelta
    lost_after: timedelta
    retention: timedelta


@dataclass(frozen=True, slots=True)
class Sweep:
    """Sweeps until it is stopped; of several processes on one PostgreSQL only one at a time."""

    broker: Broker
    database: Database
    now: Callable[[], datetime]
    terms: Terms
    counts: Counts

    async def run(self, stopping: asyncio.Event) -> None:
        """Sweep again and again."""
        while not stopping.is_set():
            try:
                await self.once()
            except (StoreAway, BadRow) as error:
                log.warning("sweep_put_off", why=str(error)[:300])
            try:
                async with asyncio.timeout(self.terms.every.total_seconds()):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def once(self) -> None:
        """Sweep once. Raises StoreAway."""
        await self.find_lost()
        await self.make_room()

    async def find_lost(self) -> int:
        """Publish again, under its own id, what has no outcome long past its lane's backlog; return how much."""
        repeated = 0
        for method, lane in product(self.broker.topology.methods, Lane):
            before = await self._passed(method, lane)
            if before is None:
                continue
            for request, body in await self.database.write(
                lambda connection: self._claimed(connection, method, lane, before)  # noqa: B023  awaited at once
            ):
                try:
                    await self.broker.publish(
                        body, self.broker.topology.direct(self.broker.topology.queue(method, lane))
                    )
                except (PublishRefused, PublishUnknown):
                    return repeated  # it is looked at again after its wait
                log.warning("published_again", request=request, method=method, lane=lane.value)
                self.counts.repeated.inc()
                repeated += 1
        return repeated

    async def make_room(self) -> None:
        """Remove what is past its time, and make the months to come."""
        now = self.now()
        oldest = first_id(now - self.terms.retention)
        await self._delete(receipts, receipts.c.kept_at < now - RECEIPTS_WAIT)
        await self._delete(attachments, attachments.c.expires_at < now)
        await self._delete(dead, dead.c.at < now - self.terms.retention)
        await self._delete(audit, audit.c.at < now - self.terms.retention)
        unsettled = exists().where(
            messages.c.request == jobs.c.request,
            messages.c.status.in_([Status.QUEUED.value, Status.RETRYING.value]),
        )
        await self._delete(jobs, (jobs.c.request < first_id(now - JOBS_KEPT)) & ~unsettled)
        await self._delete(jobs, jobs.c.request < oldest)
        if self.database.is_postgres:
            await self.database.write(lambda connection: connection.run_sync(self._turn_months))
        for table in (attempts, messages, requests):
            await self._delete(table, table.c.request < oldest)

    async def _passed(self, method: str, lane: Lane) -> str | None:
        """Return the id before which a message of this lane without any outcome must be lost; None if none must.

        A lane is first in, first out. So it is past a message when it is empty, its retry steps too; or when
        something accepted a good while later has had its attempt.
        """
        topology, queue = self.broker.topology, self.broker.topology.queue(method, lane)
        now = self.now()
        try:
            if await self.broker.depth(topology.history) > BACKLOG_OF_HISTORY:
                return None
            waiting = await self.broker.depth(queue)
            for step_s in topology.waits_s if waiting == 0 else ():
                waiting += await self.broker.depth(topology.retry(queue, step_s))
        except Unreachable:
            return None
        newest = first_id(now - self.terms.lost_after)
        if waiting == 0:
            return newest
        passed = await self.database.read(lambda connection: _newest_tried(connection, method, lane))
        return None if passed is None else min(newest, first_id(time_of(passed) - self.terms.lost_after))

    async def _claimed(
        self, connection: AsyncConnection, method: str, lane: Lane, before: str
    ) -> Sequence[tuple[str, bytes]]:
        """Choose lost jobs and note that they are published again, so that two sweeps don't choose the same."""
        now = self.now()
        if not await self._is_alone(connection):
            return []
        rested = [
            (jobs.c.repeats == n)
            & or_(jobs.c.repeated_at.is_(None), jobs.c.repeated_at < now - self.terms.lost_after * 4**n)
            for n in range(MOST_REPEATS)
        ]
        lost = (
            select(messages.c.request)
            .where(
                messages.c.method == method,
                messages.c.status == Status.QUEUED.value,
                messages.c.attempts == 0,
                messages.c.request < before,
                messages.c.request >= first_id(now - self.terms.retention),
            )
            .distinct()
        )
        chosen = (
            select(jobs.c.request, jobs.c.body)
            .join(requests, requests.c.request == jobs.c.request)
            .where(jobs.c.request.in_(lost), requests.c.lane == lane.value, or_(*rested))
            .order_by(jobs.c.request)
            .limit(LOST_AT_ONCE)
        )
        found = [(row.request, row.body) for row in await connection.execute(chosen)]
        if found:
            names = [request for request, _ in found]
            noted = update(jobs).where(jobs.c.request.in_(names)).values(repeats=jobs.c.repeats + 1, repeated_at=now)
            await connection.execute(noted)
        return found

    async def _is_alone(self, connection: AsyncConnection) -> bool:
        """Take the sweep's lock for this transaction; SQLite's writers are alone anyway."""
        if not self.database.is_postgres:
            return True
        return bool(await connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({STEPS.lock + 1})")))

    async def _delete(self, table: Table, condition: ColumnElement[bool]) -> None:
        key = list(table.primary_key.columns)
        some = select(*key).where(condition).limit(SLICE)
        one = tuple_(*key) if len(key) > 1 else key[0]
        removed = SLICE
        while removed == SLICE:
            removed = await self.database.write(
                lambda connection: _removed(connection, delete(table).where(one.in_(some)))
            )
            self.counts.removed.inc(removed)

    def _turn_months(self, connection: Connection) -> None:
        if not connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({STEPS.lock})")):
            return
        now = self.now()
        for name in partitions.make_months(connection, now):
            log.info("partition_made", name=name)
        for name in partitions.drop_months(connection, now - self.terms.retention):
            log.info("partition_dropped", name=name)


async def _newest_tried(connection: AsyncConnection, method: str, lane: Lane) -> str | None:
    """Find the newest request of a lane that has had an attempt, among the method's newest messages."""
    newest = None
    for status in frozenset(Status) - {Status.QUEUED}:
        tried = select(messages.c.request).where(
            messages.c.method == method, messages.c.status == status.value, messages.c.attempts > 0
        )
        recent = tried.order_by(messages.c.request.desc()).limit(LOOKED_THROUGH).subquery()
        of_lane = select(recent.c.request).join(requests, requests.c.request == recent.c.request)
        found = await connection.scalar(
            of_lane.where(requests.c.lane == lane.value).order_by(recent.c.request.desc()).limit(1)
        )
        newest = max(filter(None, (newest, found)), default=None)
    return newest


async def _removed(connection: AsyncConnection, statement: Delete) -> int:
    return (await connection.execute(statement)).rowcount
