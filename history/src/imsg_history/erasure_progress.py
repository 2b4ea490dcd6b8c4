"""The progress of erasures: the tables, then Redis, then the queues until they have drained.

The row of an erasure holds its state, so that another process continues after a crash. Every step may be repeated; a
lease keeps two processes from doing the same work.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Broker, Unreachable
from imsg_channels import CHANNELS
from imsg_contract.topology import ERASED, Lane
from imsg_contract.wire import OPEN
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.database import BadRow, Database
from imsg_history.eraser import Eraser
from imsg_history.ids import time_of
from imsg_history.merge import DEAD_RANK
from imsg_history.redis_erasure import RedisErasure, RewritePostponed
from imsg_history.tables import erasures, messages, requests
from imsg_history.tombstones import (
    DONE,
    DRAINED_AFTER,
    FILE,
    FIRST_PLACES,
    MIRROR,
    QUEUES,
    REDIS,
    TABLES,
    TombstoneStore,
    write_remaining,
)
from imsg_history.waiting import wait_for_any
from imsg_people.tombstones import Tombstone
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

EVERY_S = 2.0
LEASE = timedelta(minutes=2)

SETTLED_AFTER = timedelta(seconds=6)
"""How long after a tombstone queue depths are ignored: RabbitMQ's totals are up to 5 s old (ADR 2)."""

MAX_DISORDER = timedelta(minutes=1)
"""By how much history's queue may be out of order: gateways' clocks differ, and deliveries are requeued."""

HISTORY = "history"

FOLLOWER_CHANNELS = tuple(channel for channel in CHANNELS if channel.has_accounts)
"""Channels whose senders keep followers: they erase them, and write their progress to `ERASED`."""

OTHER_SERVICES = {
    "callbacks": "events of callbacks",
    "catalog": "suppressions of catalog",
    "scheduler": "jobs of scheduler",
}
"""Services that erase people from their own tables and queues, and write their progress to `ERASED`."""

Remaining = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Depths:
    """The queues that are not empty: their names, by lane."""

    lanes: dict[str, list[str]]
    history: str | None
    """The name of history's own queue; None where it is empty."""


@dataclass(frozen=True, slots=True)
class ErasureProgress:
    """Advances erasures until it is stopped."""

    database: Database
    stones: TombstoneStore
    eraser: Eraser
    redis_erasure: RedisErasure
    redis: Redis
    broker: Broker
    now: Callable[[], datetime]
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    rewrite_trouble: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "redis_log_not_rewritten", level="info")
    )
    depth_trouble: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "queue_depth_unknown", level="info")
    )

    def wake(self) -> None:
        """Check the erasures at once."""
        self.woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Advance erasures until `stopping`."""
        problem = RecurringProblem(log, "erasures_delayed")
        while not stopping.is_set():
            with problem.catch(DatabaseUnavailable, BadRow, RedisUnavailable, RedisRefused):
                await self.run_once()
            self.woken.clear()
            await wait_for_any(stopping, self.woken, within_s=EVERY_S)

    async def run_once(self) -> None:
        """Advance every open erasure as far as possible. Raises DatabaseUnavailable, RedisUnavailable, RedisRefused."""
        unsynchronized = await self.stones.synchronize()
        rows = await self.database.write(self._lease)
        if not rows:
            return
        try:
            await self._empty_tables([row for row in rows if row.state == TABLES])
            await self._empty_redis([row for row in rows if row.state in (TABLES, REDIS)])
            await self._check_queues(unsynchronized)
        finally:
            names = [row.id for row in rows]
            with suppress(DatabaseUnavailable):
                await self._update(names, leased_until=None)

    async def _lease(self, connection: AsyncConnection) -> list[Row[Any]]:
        now = self.now()
        free = or_(erasures.c.leased_until.is_(None), erasures.c.leased_until < now)
        change = update(erasures).where(erasures.c.state != DONE, free).values(leased_until=now + LEASE)
        return list(await connection.execute(change.returning(erasures)))

    async def _empty_tables(self, rows: Sequence[Row[Any]]) -> None:
        if not rows:
            return
        known = await self.stones.list_all()
        stones: list[Tombstone] = [known[row.id] for row in rows if row.id in known]
        count = await self.eraser.erase(stones) if stones else 0
        await self.database.purge()
        for row in rows:
            await self._update([row.id], state=REDIS, remains=write_remaining(row.at, FIRST_PLACES[1:]))
        log.info("erased", erasures=[row.id for row in rows], messages=count)

    async def _empty_redis(self, rows: Sequence[Row[Any]]) -> None:
        if not rows:
            return
        await self.redis_erasure.remove()
        if not await self._rewrite_redis_log():
            return
        for row in rows:
            waiting = json.dumps([*self._list_lanes(row.method), HISTORY])
            await self._update(
                [row.id], state=QUEUES, waiting=waiting, remains=write_remaining(row.at, FIRST_PLACES[2:])
            )

    async def _check_queues(self, unsynchronized: set[str]) -> None:
        """Check which queues have drained; once all have, erase what came into Redis meanwhile."""
        rows = [row for row in await self._list_draining() if self.now() >= row.at + SETTLED_AFTER]
        depths = await self._read_depths() if rows else None
        if depths is None:
            return
        erased = await self._read_erased_until_ms()
        remaining_places = [f"tombstones not written to {self.stones.file}"] if FILE in unsynchronized else []
        remaining_places += ["tombstones not written to Redis"] if MIRROR in unsynchronized else []
        done: list[Row[Any]] = []
        for row in rows:
            waiting = await self._list_waiting(row, depths)
            names = [
                name for lane in waiting for name in ((depths.history,) if lane == HISTORY else depths.lanes[lane])
            ]
            remains: list[Remaining] = json.loads(write_remaining(row.at, [f"queue {name}" for name in names]))
            remains += [{"where": place, "until": None} for place in remaining_places]
            for channel in FOLLOWER_CHANNELS:
                until = erased.get(channel.name)
                is_meant = row.method == channel.name or (row.method is None and until is not None)
                if is_meant and (until or 0) < _to_ms(row.at):
                    remains.append({"where": f"followers of {channel.service}", "until": None})
            late = [name for name in OTHER_SERVICES if name in erased and erased[name] < _to_ms(row.at)]
            remains += [{"where": OTHER_SERVICES[name], "until": None} for name in late]
            await self._update([row.id], waiting=json.dumps(waiting), remains=json.dumps(remains))
            if not remains:
                done.append(row)
        if done:
            await self._erase_bodies(done)
            await self.redis_erasure.remove()
            if await self._rewrite_redis_log():
                await self._update([row.id for row in done], state=DONE)
                log.info("erasures_done", erasures=[row.id for row in done])

    async def _erase_bodies(self, rows: Sequence[Row[Any]]) -> None:
        """Delete contents that other recipients were still to get when the tables were emptied."""
        known = await self.stones.list_all()
        if await self.eraser.erase_bodies([known[row.id] for row in rows if row.id in known]):
            await self.database.purge()

    async def _list_waiting(self, row: Row[Any], depths: Depths) -> list[str]:
        """List the queues that may hold data: history's until what came before is recorded, then the lanes.

        A lane counts until it is empty, and while a sender still has to report that a message was not sent.
        """
        if self.now() >= row.at + DRAINED_AFTER:
            return []
        before = json.loads(row.waiting)
        is_recorded = HISTORY not in before or depths.history is None or await self._is_recorded(row.at)
        if is_recorded and not await self._is_open(row.at):
            return []
        lanes = [lane for lane in before if depths.lanes.get(lane)]
        return lanes if is_recorded else [*lanes, HISTORY]

    async def _rewrite_redis_log(self) -> bool:
        """Start a rewrite of Redis's append-only file; return False where that has to wait."""
        try:
            await self.redis_erasure.rewrite_log()
        except RewritePostponed as why:
            self.rewrite_trouble.report(why)
            return False
        except RedisRefused as error:  # a hosted server rewrites its own log
            self.rewrite_trouble.report(error)
        else:
            self.rewrite_trouble.clear()
        return True

    def _list_lanes(self, method: str | None) -> list[str]:
        methods = self.broker.topology.methods if method is None else (method,)
        return [self.broker.topology.queue(method, lane) for method in methods for lane in Lane]

    async def _read_depths(self) -> Depths | None:
        """Read the depth of every lane, of its retry queues, and of the lane again, to which these return messages."""
        topology = self.broker.topology
        lanes: dict[str, list[str]] = {}
        try:
            for queue in self._list_lanes(None):
                names = [queue, *(topology.retry(queue, step_s) for step_s in topology.waits_s), queue]
                lanes[queue] = list(dict.fromkeys([name for name in names if await self.broker.depth(name)]))
            depths = Depths(lanes, topology.history if await self.broker.depth(topology.history) else None)
        except Unreachable as error:
            self.depth_trouble.report(error)
            return None
        self.depth_trouble.clear()
        return depths

    async def _read_erased_until_ms(self) -> Mapping[str, int]:
        """Return the last tombstone (Unix ms) that each service has processed; one that never reported is absent."""
        progress: Mapping[bytes, bytes] = await self.redis.call("HGETALL", ERASED)
        return {name.decode(): int(until) for name, until in progress.items()}

    async def _is_recorded(self, at: datetime) -> bool:
        """Return whether everything accepted until `at` is recorded: something accepted well after it is."""
        query = select(requests.c.request).order_by(requests.c.request.desc()).limit(1)
        newest = await self.database.scalar(query)
        return newest is not None and time_of(newest) > at + MAX_DISORDER

    async def _is_open(self, at: datetime) -> bool:
        """Return whether a request with a recipient erased at `at` is unsettled.

        A sender still has to report the erased message, or others wait for the same content, which may name the person.
        """
        of_request = messages.alias("of_request")
        is_under_way = messages.c.status.in_(OPEN) | ((messages.c.erased_at == at) & (messages.c.rank == DEAD_RANK))
        query = (
            select(messages.c.n)
            .join(of_request, of_request.c.request == messages.c.request)
            .where(of_request.c.erased_at == at, is_under_way)
            .limit(1)
        )
        return await self.database.scalar(query) is not None

    async def _list_draining(self) -> Sequence[Row[Any]]:
        query = select(erasures).where(erasures.c.state == QUEUES)
        return await self.database.fetch(query)

    async def _update(self, names: Sequence[str], **values: Any) -> None:  # noqa: ANN401  a column's value
        change = update(erasures).where(erasures.c.id.in_(list(names))).values(**values)
        await self.database.execute(change)


def _to_ms(at: datetime) -> int:
    return Tombstone("", "", at).at_ms
