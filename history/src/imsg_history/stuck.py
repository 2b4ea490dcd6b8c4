"""Jobs that the broker must have lost, published again under their own id (promise 1)."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import Select, func, or_, select, text, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Broker, PublishRefused, PublishUnknown, Unreachable
from imsg_contract.topology import Lane
from imsg_contract.wire import Status
from imsg_history.database import Database
from imsg_history.ids import first_id, time_of
from imsg_history.migrations import MIGRATIONS
from imsg_history.tables import jobs, messages, requests
from imsg_runtime.logs import logger

log = logger(__name__)

MOST_REPEATS = 5
"""How often a job is published again, each time after four times as long: what five times did not help, won't."""

BACKLOG_OF_HISTORY = 1_000
"""With more than this waiting for us, outcomes may be among it: nobody is called lost."""

AT_ONCE = 200

LOOKED_THROUGH = 20_000
"""How many of a method's newest messages are looked through for one of the lane: two long lists."""

LONGEST_LIFE = timedelta(hours=72)
"""A job's life is 48 h at most, its extension by blocks 24 h: by then every copy has been taken and settled."""

TURNS = 1_000_000
"""By so much a repeat's turn is above any that a copy can have reached: a put-off takes 10 s at least."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The ids before which a lane's messages must be lost."""

    untried: str
    """Those without any outcome."""
    tried: str
    """Those whose next copy should have come by now."""


class Counts:
    """What is told to Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.repeated = Counter("imsg_history_republished_total", "Lost jobs published again", registry=registry)


@dataclass(frozen=True, slots=True)
class StuckJobs:
    """Finds what was lost; of several processes on one PostgreSQL only one at a time chooses."""

    broker: Broker
    database: Database
    now: Callable[[], datetime]
    after: timedelta
    counts: Counts

    async def find(self) -> int:
        """Publish again what no copy can be about of any more; return how much. Raises DatabaseUnavailable.

        A copy that turns up all the same does no harm: claims obey the higher fencing token alone.
        """
        repeated = 0
        for method, lane in product(self.broker.topology.methods, Lane):
            bounds = await self._bounds(method, lane)
            if bounds is None:
                continue
            for request, body in await self.database.write(
                lambda connection: self._claim(connection, method, lane, bounds)  # noqa: B023  awaited at once
            ):
                route = self.broker.topology.direct(self.broker.topology.queue(method, lane))
                try:
                    await self.broker.publish(body, route)
                except (PublishRefused, PublishUnknown):
                    return repeated  # it is looked at again after its wait
                log.warning("published_again", request=request, method=method, lane=lane.value)
                self.counts.repeated.inc()
                repeated += 1
        return repeated

    async def _bounds(self, method: str, lane: Lane) -> Bounds | None:
        """Say what of a lane must be lost by now; None where that can't be known.

        A lane that is empty, its retry steps too, has nothing to come. Else it is first in, first out, and so past
        what has had no attempt while something accepted a good while later has; what was delayed waits for longer
        than that, and must be lost only once its life is over.
        """
        now = self.now()
        try:
            if await self.broker.depth(self.broker.topology.history) > BACKLOG_OF_HISTORY:
                return None
            waiting = await self._count_waiting(self.broker.topology.queue(method, lane))
        except Unreachable:
            return None
        newest, oldest = first_id(now - self.after), first_id(now - LONGEST_LIFE - self.after)
        if waiting == 0:
            return Bounds(untried=newest, tried=newest)
        passed = await self.database.read(lambda connection: _find_newest_tried(connection, method, lane))
        if passed is None:
            return Bounds(untried=oldest, tried=oldest)
        return Bounds(untried=max(oldest, min(newest, first_id(time_of(passed) - self.after))), tried=oldest)

    async def _count_waiting(self, queue: str) -> int:
        topology = self.broker.topology
        if waiting := await self.broker.depth(queue):
            return waiting
        for step_s in topology.waits_s:
            if waiting := await self.broker.depth(topology.retry(queue, step_s)):
                return waiting
        return await self.broker.depth(queue)  # what came home from its step meanwhile

    async def _claim(
        self, connection: AsyncConnection, method: str, lane: Lane, bounds: Bounds
    ) -> Sequence[tuple[str, bytes]]:
        """Choose lost jobs and note that they are published again, so that two sweeps don't choose the same."""
        now = self.now()
        if not await self._is_alone(connection):
            return []
        rested = [
            (jobs.c.repeats == n) & or_(jobs.c.repeated_at.is_(None), jobs.c.repeated_at < now - self.after * 4**n)
            for n in range(MOST_REPEATS)
        ]
        lost = union_all(*self._select_lost(method, bounds)).subquery()
        chosen = (
            select(jobs.c.request, jobs.c.body, jobs.c.repeats)
            .join(requests, requests.c.request == jobs.c.request)
            .where(jobs.c.request.in_(select(lost.c.request)), requests.c.lane == lane.value, or_(*rested))
            .order_by(jobs.c.request)
            .limit(AT_ONCE)
        )
        found = (await connection.execute(chosen)).all()
        if not found:
            return []
        names = [row.request for row in found]
        noted = update(jobs).where(jobs.c.request.in_(names)).values(repeats=jobs.c.repeats + 1, repeated_at=now)
        await connection.execute(noted)
        tried = await _find_tried(connection, names)
        return [(row.request, _repeat(row.body, row.repeats, tried.get(row.request, 0))) for row in found]

    def _select_lost(self, method: str, bounds: Bounds) -> Iterator[Select[Any]]:
        of_method = select(messages.c.request).where(messages.c.method == method)
        yield of_method.where(
            messages.c.status == Status.QUEUED.value, messages.c.attempts == 0, messages.c.request < bounds.untried
        )
        yield of_method.where(
            messages.c.status == Status.RETRYING.value,
            messages.c.request < bounds.tried,
            messages.c.at < self.now() - self.after,
        )

    async def _is_alone(self, connection: AsyncConnection) -> bool:
        """Take the lock of this choice for this transaction; SQLite's writers are alone anyway."""
        if not self.database.is_postgres:
            return True
        return bool(await connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({MIGRATIONS.lock + 1})")))


def _repeat(body: bytes, repeats: int, tried: int) -> bytes:
    """Write a job as it is published again: the first time as it was, unless an attempt is known of.

    Otherwise with a turn above every copy's, without which the claims would take it for one that is long past. A
    newer version's fields are kept.
    """
    if repeats == 0 and tried == 0:
        return body
    job = json.loads(body)
    job["turn"] = TURNS * (repeats + 1)
    job["attempt"] = tried + 1
    return json.dumps(job, ensure_ascii=False, separators=(",", ":")).encode()


async def _find_tried(connection: AsyncConnection, names: Sequence[str]) -> dict[str, int]:
    query = (
        select(messages.c.request, func.max(messages.c.attempts).label("tried"))
        .where(messages.c.request.in_(names))
        .group_by(messages.c.request)
    )
    return {row.request: row.tried for row in await connection.execute(query)}


async def _find_newest_tried(connection: AsyncConnection, method: str, lane: Lane) -> str | None:
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
