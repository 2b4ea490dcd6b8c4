"""Erasures carried out, step by step: the tables, Redis, then a look at the queues until they have drained.

Where a step has come to stands in the row of the erasure, so that another process goes on after a crash. Every step may
be taken twice; a lease keeps two processes from doing so for nothing.
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
from imsg_contract.wire import Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.database import BadRow, Database
from imsg_history.erase import Eraser
from imsg_history.ids import time_of
from imsg_history.merge import DEAD_RANK
from imsg_history.redis_erasure import NotNow, RedisErasure
from imsg_history.tables import erasures, messages, requests
from imsg_history.tombstones import (
    DONE,
    DRAINED_AFTER,
    FILE,
    FIRST,
    MIRROR,
    QUEUES,
    REDIS,
    TABLES,
    TombstoneStore,
    write_remaining,
)
from imsg_people.tombstones import Tombstone
from imsg_runtime.logs import Recurring, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

EVERY_S = 2.0
LEASE = timedelta(minutes=2)

SETTLED_AFTER = timedelta(seconds=6)
"""What the broker counted before that may be from before the tombstone: RabbitMQ's totals are 5 s old (ADR 2)."""

OUT_OF_ORDER = timedelta(minutes=1)
"""By so much history's queue may be out of order: clocks of gateways, and what was handed back."""

HISTORY = "history"

WITH_FOLLOWERS = tuple(channel for channel in CHANNELS if channel.has_accounts)
"""Channels whose senders know people by themselves: they erase them, and say in `ERASED` how far they are."""

BESIDE = {"callbacks": "events of callbacks", "catalog": "suppressions of catalog"}
"""Services that erase people of every channel from what is theirs and on its way to them, once they have said so."""

Remaining = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Depths:
    """What the queues hold at one moment: lane → the names of those that are not empty."""

    lanes: dict[str, list[str]]
    history: str | None
    """History's own, where it is not empty."""


@dataclass(frozen=True, slots=True)
class ErasureProgress:
    """Carries erasures out until it is stopped."""

    database: Database
    stones: TombstoneStore
    eraser: Eraser
    traces: RedisErasure
    redis: Redis
    broker: Broker
    now: Callable[[], datetime]
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    delay: Recurring = field(default_factory=lambda: Recurring(log, "redis_log_not_rewritten", level="info"))
    blindness: Recurring = field(default_factory=lambda: Recurring(log, "queue_depth_unknown", level="info"))

    def wake(self) -> None:
        """Look at once."""
        self.woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Look again and again."""
        trouble = Recurring(log, "erasures_delayed")
        while not stopping.is_set():
            try:
                await self.once()
            except (DatabaseUnavailable, BadRow, RedisUnavailable, RedisRefused) as error:
                trouble.note(error)
            else:
                trouble.clear()
            self.woken.clear()
            stopped = asyncio.ensure_future(stopping.wait())
            woken = asyncio.ensure_future(self.woken.wait())
            await asyncio.wait({stopped, woken}, timeout=EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            for waiting in (stopped, woken):
                waiting.cancel()

    async def once(self) -> None:
        """Take every open erasure as far as it goes now. Raises DatabaseUnavailable, RedisUnavailable, RedisRefused."""
        missed = await self.stones.exchange()
        rows = await self.database.write(self._lease)
        if not rows:
            return
        try:
            await self._empty_tables([row for row in rows if row.state == TABLES])
            await self._empty_redis([row for row in rows if row.state in (TABLES, REDIS)])
            await self._look(missed)
        finally:
            names = [row.id for row in rows]
            with suppress(DatabaseUnavailable):
                await self._change(names, leased_until=None)

    async def _lease(self, connection: AsyncConnection) -> list[Row[Any]]:
        now = self.now()
        free = or_(erasures.c.leased_until.is_(None), erasures.c.leased_until < now)
        change = update(erasures).where(erasures.c.state != DONE, free).values(leased_until=now + LEASE)
        return list(await connection.execute(change.returning(erasures)))

    async def _empty_tables(self, rows: Sequence[Row[Any]]) -> None:
        if not rows:
            return
        known = await self.stones.all()
        stones: list[Tombstone] = [known[row.id] for row in rows if row.id in known]
        count = await self.eraser.erase(stones) if stones else 0
        await self.database.purge()
        for row in rows:
            await self._change([row.id], state=REDIS, remains=write_remaining(row.at, FIRST[1:]))
        log.info("erased", erasures=[row.id for row in rows], messages=count)

    async def _empty_redis(self, rows: Sequence[Row[Any]]) -> None:
        if not rows:
            return
        await self.traces.remove()
        if not await self._write_log_anew():
            return
        for row in rows:
            waiting = json.dumps([*self._lanes(row.method), HISTORY])
            await self._change([row.id], state=QUEUES, waiting=waiting, remains=write_remaining(row.at, FIRST[2:]))

    async def _look(self, missed: set[str]) -> None:
        """See which queues have drained; when all have, take out what came into Redis meanwhile."""
        rows = [row for row in await self._rows() if self.now() >= row.at + SETTLED_AFTER]
        depths = await self._depths() if rows else None
        if depths is None:
            return
        erased = await self._read_erased_until_ms()
        elsewhere = [f"tombstones not written to {self.stones.file}"] if FILE in missed else []
        elsewhere += ["tombstones not written to Redis"] if MIRROR in missed else []
        done: list[Row[Any]] = []
        for row in rows:
            waiting = await self._list_waiting(row, depths)
            names = [
                name for lane in waiting for name in ((depths.history,) if lane == HISTORY else depths.lanes[lane])
            ]
            remains: list[Remaining] = json.loads(write_remaining(row.at, [f"queue {name}" for name in names]))
            remains += [{"where": place, "until": None} for place in elsewhere]
            for channel in WITH_FOLLOWERS:
                until = erased.get(channel.name)
                is_meant = row.method == channel.name or (row.method is None and until is not None)
                if is_meant and (until or 0) < _ms(row.at):
                    remains.append({"where": f"followers of {channel.service}", "until": None})
            late = [name for name in BESIDE if name in erased and erased[name] < _ms(row.at)]
            remains += [{"where": BESIDE[name], "until": None} for name in late]
            await self._change([row.id], waiting=json.dumps(waiting), remains=json.dumps(remains))
            if not remains:
                done.append(row)
        if done:
            await self._erase_bodies(done)
            await self.traces.remove()
            if await self._write_log_anew():
                await self._change([row.id for row in done], state=DONE)
                log.info("erasures_done", erasures=[row.id for row in done])

    async def _erase_bodies(self, rows: Sequence[Row[Any]]) -> None:
        """Remove what others of their requests were still to be sent when the tables were emptied."""
        known = await self.stones.all()
        if await self.eraser.erase_bodies([known[row.id] for row in rows if row.id in known]):
            await self.database.purge()

    async def _list_waiting(self, row: Row[Any], depths: Depths) -> list[str]:
        """Say what may hold something still: history's queue until what came before is recorded, then the lanes.

        A lane matters while it has to say of a message to that person that it was not sent, and until it is empty.
        """
        if self.now() >= row.at + DRAINED_AFTER:
            return []
        before = json.loads(row.waiting)
        is_recorded = HISTORY not in before or depths.history is None or await self._is_recorded(row.at)
        if is_recorded and not await self._is_open(row.at):
            return []
        lanes = [lane for lane in before if depths.lanes.get(lane)]
        return lanes if is_recorded else [*lanes, HISTORY]

    async def _write_log_anew(self) -> bool:
        """Have Redis' log written anew; False where that has to wait."""
        try:
            await self.traces.rewrite_log()
        except NotNow as why:
            self.delay.note(why)
            return False
        except RedisRefused as error:  # a hosted server does it when it sees fit
            log.warning("redis_log_not_rewritten", why=str(error))
        self.delay.clear()
        return True

    def _lanes(self, method: str | None) -> list[str]:
        methods = self.broker.topology.methods if method is None else (method,)
        return [self.broker.topology.queue(one, lane) for one in methods for lane in Lane]

    async def _depths(self) -> Depths | None:
        """Look into every lane, its steps and the lane again: what a step returns meanwhile is in one of them."""
        topology = self.broker.topology
        lanes: dict[str, list[str]] = {}
        try:
            for queue in self._lanes(None):
                names = [queue, *(topology.retry(queue, step_s) for step_s in topology.waits_s), queue]
                lanes[queue] = list(dict.fromkeys([name for name in names if await self.broker.depth(name)]))
            depths = Depths(lanes, topology.history if await self.broker.depth(topology.history) else None)
        except Unreachable as error:
            self.blindness.note(error)
            return None
        self.blindness.clear()
        return depths

    async def _read_erased_until_ms(self) -> Mapping[str, int]:
        """Say up to which tombstone whoever erases by itself has; absent where it has never said so."""
        found: Mapping[bytes, bytes] = await self.redis.call("HGETALL", ERASED)
        return {name.decode(): int(until) for name, until in found.items()}

    async def _is_recorded(self, at: datetime) -> bool:
        """Tell whether all that was accepted until then must have been recorded: what came well after it has been."""
        query = select(requests.c.request).order_by(requests.c.request.desc()).limit(1)
        newest = await self.database.read(lambda connection: connection.scalar(query))
        return newest is not None and time_of(newest) > at + OUT_OF_ORDER

    async def _is_open(self, at: datetime) -> bool:
        """Tell whether anything is under way of a request of which a message was to whoever was erased then.

        A sender has yet to say that it was not sent, or others wait for the same content, which may name them.
        """
        of_request = messages.alias("of_request")
        is_under_way = messages.c.status.in_([Status.QUEUED.value, Status.RETRYING.value]) | (
            (messages.c.erased_at == at) & (messages.c.rank == DEAD_RANK)
        )
        query = (
            select(messages.c.n)
            .join(of_request, of_request.c.request == messages.c.request)
            .where(of_request.c.erased_at == at, is_under_way)
            .limit(1)
        )
        return (await self.database.read(lambda connection: connection.execute(query))).first() is not None

    async def _rows(self) -> Sequence[Row[Any]]:
        query = select(erasures).where(erasures.c.state == QUEUES)
        return (await self.database.read(lambda connection: connection.execute(query))).all()

    async def _change(self, names: Sequence[str], **values: Any) -> None:  # noqa: ANN401  a column's value
        change = update(erasures).where(erasures.c.id.in_(list(names))).values(**values)
        await self.database.write(lambda connection: connection.execute(change))


def _ms(at: datetime) -> int:
    return Tombstone("", "", at).at_ms
