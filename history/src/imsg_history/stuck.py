"""Stuck jobs, which the broker must have lost: they are published again under their own id (promise 1)."""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import Select, func, or_, select, text, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Broker, PublishRefused, PublishUnknown, Unreachable
from imsg_contract.topology import Lane
from imsg_contract.wire import OPEN, Status
from imsg_history.database import Database
from imsg_history.facts import compact
from imsg_history.ids import first_id, time_of
from imsg_history.migrations import MIGRATIONS
from imsg_history.tables import jobs, messages, requests
from imsg_runtime.logs import logger

log = logger(__name__)

MAX_REPEATS = 5
"""How often a job is published again; each wait is four times as long as the one before."""

MAX_BACKLOG = 1_000
"""With more deliveries in history's queue, outcomes may be among them, so no job counts as stuck."""

BATCH = 200

CANDIDATES = 20_000
"""The newest messages of a method among which one of the lane is searched: two long lists."""

MAX_LIFE = timedelta(hours=72)
"""A job's life is 48 h at most, its extension by blocks 24 h: by then every copy was consumed and settled."""

REPEAT_TURN = 1_000_000
"""The turn of the first repeat: above the turn of any copy, since a delay takes 10 s at least."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The request ids below which a lane's messages are stuck."""

    untried: str
    """For messages without any outcome."""
    tried: str
    """For messages whose next copy should have been consumed by now."""


class StuckMetrics:
    """Metrics of stuck jobs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.repeated = Counter("imsg_history_republished_total", "Lost jobs published again", registry=registry)


@dataclass(frozen=True, slots=True)
class StuckJobs:
    """Finds stuck jobs; of several processes on one PostgreSQL, one at a time chooses."""

    broker: Broker
    database: Database
    now: Callable[[], datetime]
    after: timedelta
    metrics: StuckMetrics

    async def republish(self) -> int:
        """Publish stuck jobs again; return their number. Raises DatabaseUnavailable.

        A copy that arrives all the same does no harm: claims obey the higher fencing token.
        """
        repeated = 0
        for method, lane in product(self.broker.topology.methods, Lane):
            bounds = await self._find_bounds(method, lane)
            if bounds is None:
                continue
            for request, body in await self.database.write(
                lambda connection: self._claim(connection, method, lane, bounds)  # noqa: B023  awaited at once
            ):
                route = self.broker.topology.direct(self.broker.topology.queue(method, lane))
                try:
                    await self.broker.publish(body, route)
                except (PublishRefused, PublishUnknown):
                    return repeated  # it is published after its next wait
                log.warning("published_again", request=request, method=method, lane=lane.value)
                self.metrics.repeated.inc()
                repeated += 1
        return repeated

    async def _find_bounds(self, method: str, lane: Lane) -> Bounds | None:
        """Return which messages of a lane are stuck; None where the broker doesn't report it.

        If the lane and its retry queues are empty, every unsettled message is stuck. Otherwise the lane is first in,
        first out: a message without an attempt is stuck once a much later one has had its attempt. A delayed message
        waits longer, and is stuck only once its life is over.
        """
        now = self.now()
        try:
            if await self.broker.depth(self.broker.topology.history) > MAX_BACKLOG:
                return None
            waiting = await self._count_waiting(self.broker.topology.queue(method, lane))
        except Unreachable:
            return None
        newest, oldest = first_id(now - self.after), first_id(now - MAX_LIFE - self.after)
        if waiting == 0:
            return Bounds(untried=newest, tried=newest)
        newest_tried = await self.database.read(lambda connection: _find_newest_tried(connection, method, lane))
        if newest_tried is None:
            return Bounds(untried=oldest, tried=oldest)
        return Bounds(untried=max(oldest, min(newest, first_id(time_of(newest_tried) - self.after))), tried=oldest)

    async def _count_waiting(self, queue: str) -> int:
        topology = self.broker.topology
        if waiting := await self.broker.depth(queue):
            return waiting
        for step_s in topology.waits_s:
            if waiting := await self.broker.depth(topology.retry(queue, step_s)):
                return waiting
        return await self.broker.depth(queue)  # what returned from a retry queue meanwhile

    async def _claim(
        self, connection: AsyncConnection, method: str, lane: Lane, bounds: Bounds
    ) -> Sequence[tuple[str, bytes]]:
        """Choose stuck jobs, and record that they are published again, so that no other process chooses them."""
        now = self.now()
        if not await self._acquire_lock(connection):
            return []
        is_due = [
            (jobs.c.repeats == n) & or_(jobs.c.repeated_at.is_(None), jobs.c.repeated_at < now - self.after * 4**n)
            for n in range(MAX_REPEATS)
        ]
        stuck = union_all(*self._select_stuck(method, bounds)).subquery()
        chosen = (
            select(jobs.c.request, jobs.c.body, jobs.c.repeats)
            .join(requests, requests.c.request == jobs.c.request)
            .where(jobs.c.request.in_(select(stuck.c.request)), requests.c.lane == lane.value, or_(*is_due))
            # A scheduled request is as old as its release, not as its id.
            .where(or_(requests.c.released_at.is_(None), requests.c.released_at < time_of(bounds.untried)))
            .order_by(jobs.c.request)
            .limit(BATCH)
        )
        rows = (await connection.execute(chosen)).all()
        if not rows:
            return []
        names = [row.request for row in rows]
        change = update(jobs).where(jobs.c.request.in_(names)).values(repeats=jobs.c.repeats + 1, repeated_at=now)
        await connection.execute(change)
        tried = await _find_tried(connection, names)
        still_open = await _find_open(connection, names)
        return [
            (row.request, body)
            for row in rows
            for body in _cut(_rewrite_job(row.body, row.repeats, tried.get(row.request, 0)), still_open[row.request])
        ]

    def _select_stuck(self, method: str, bounds: Bounds) -> Iterator[Select[Any]]:
        of_method = select(messages.c.request).where(messages.c.method == method)
        yield of_method.where(
            messages.c.status == Status.QUEUED.value, messages.c.attempts == 0, messages.c.request < bounds.untried
        )
        yield of_method.where(
            messages.c.status == Status.RETRYING.value,
            messages.c.request < bounds.tried,
            messages.c.at < self.now() - self.after,
        )

    async def _acquire_lock(self, connection: AsyncConnection) -> bool:
        """Acquire the advisory lock for this transaction; SQLite has one writer anyway."""
        if not self.database.is_postgres:
            return True
        return bool(await connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({MIGRATIONS.lock + 1})")))


def _rewrite_job(body: bytes, repeats: int, tried: int) -> bytes:
    """Return the body of a job that is published again: unchanged the first time, unless it had an attempt.

    Otherwise it gets a turn above every copy's, without which the claims would reject it. Unknown fields are kept.
    """
    if repeats == 0 and tried == 0:
        return body
    job = json.loads(body)
    job["fencing_token"] = REPEAT_TURN * (repeats + 1)
    job["attempt"] = tried + 1
    return json.dumps(job, ensure_ascii=False, separators=(",", ":")).encode()


def _cut(body: bytes, still_open: Collection[int]) -> Iterator[bytes]:
    """Yield a job; of a further leg one for each person who has not ended, as scheduler began it.

    Unless it was begun for one person alone, each has an expiry of their own (`merge.join_people`).
    """
    job = json.loads(body)
    if (job.get("leg") or 1) == 1:
        yield body
        return
    for recipient in job["recipients"]:
        if recipient["n"] in still_open:
            expires_at = recipient.pop("expires_at", job["expires_at"])
            yield compact(job | {"recipients": [recipient], "chunk": recipient["n"], "expires_at": expires_at}).encode()


async def _find_open(connection: AsyncConnection, names: Sequence[str]) -> Mapping[str, set[int]]:
    """Return the numbers of the messages that have not ended, by request."""
    query = select(messages.c.request, messages.c.n).where(messages.c.request.in_(names), messages.c.status.in_(OPEN))
    found = defaultdict[str, set[int]](set)
    for row in await connection.execute(query):
        found[row.request].add(row.n)
    return found


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
    for status in frozenset(Status) - {Status.SCHEDULED, Status.QUEUED}:
        tried = select(messages.c.request).where(
            messages.c.method == method, messages.c.status == status.value, messages.c.attempts > 0
        )
        recent = tried.order_by(messages.c.request.desc()).limit(CANDIDATES).subquery()
        of_lane = select(recent.c.request).join(requests, requests.c.request == recent.c.request)
        rows = await connection.scalar(
            of_lane.where(requests.c.lane == lane.value).order_by(recent.c.request.desc()).limit(1)
        )
        newest = max(filter(None, (newest, rows)), default=None)
    return newest
