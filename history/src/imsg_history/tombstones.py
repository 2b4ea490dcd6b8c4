"""Tombstones as history keeps them: in its table, in Redis and in a file, of which a backup brings back none.

What one of them lacks it has from the others: a restored table from Redis or the file, an emptied Redis from the table.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_database.engines import is_postgres
from imsg_database.inserts import Insert, insert_into
from imsg_history.database import Database
from imsg_history.ids import EPOCH, first_id, rfc3339
from imsg_history.records import AuditRow
from imsg_history.tables import audit, erasures, tombstones
from imsg_people.tombstones import Tombstone, Tombstones, append_to, read_from
from imsg_runtime.logs import Recurring, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable

log = logger(__name__)

BURY_TIMEOUT_S = 10.0
"""How long a new tombstone waits for batches that are being written; the caller waits for it."""

TABLES, REDIS, QUEUES, DONE = "tables", "redis", "queues", "done"
"""The states of an erasure: what is being emptied, one after the other."""

FIRST = ("history", "redis", "queues")
"""Where something remains of whoever was just erased."""

DRAINED_AFTER = timedelta(hours=72)
"""By then no copy of a job is about: its life and its extension are 24 h each at most, and the last step is short."""

FILE, MIRROR = "file", "redis"


class TombstoneStore:
    """All three places."""

    def __init__(self, database: Database, mirror: Tombstones, file: Path | None) -> None:
        self.file = file
        self._database = database
        self._mirror = mirror
        self._in_file: frozenset[Tombstone] | None = None
        self._compared: tuple[int, int, int] | None = None
        """What the table held when all three were last seen to agree."""
        self._mirror_trouble = Recurring(log, "tombstones_not_published")
        self._file_trouble = Recurring(log, "tombstones_not_written", file=str(file))

    async def place(self, stone: Tombstone, method: str, record: AuditRow) -> None:
        """Keep a new tombstone in the table: from here no writer overlooks it. Raises DatabaseUnavailable."""
        change = insert(audit).values({name: getattr(record, name) for name in record.__dataclass_fields__})

        async def work(connection: AsyncConnection) -> None:
            await self._lock(connection)
            await _add(connection, {stone.id: stone})
            await _take_up(connection, {stone.id: stone}, method)
            await connection.execute(change)

        await self._database.write(work, BURY_TIMEOUT_S)

    async def exchange(self) -> set[str]:
        """Bring the three together; return which of FILE and MIRROR could not be. Raises DatabaseUnavailable."""
        counts = await self._database.read(_counts)
        if counts == self._compared and await self._count_of_mirror() == counts[1]:
            return set()
        missed: set[str] = set()
        known = await self.all()
        newest = _newest(known.values())
        elsewhere: dict[str, Tombstone] = {}
        try:
            for digest, (at_ms, name) in (await self._mirror.read()).items():
                elsewhere[name] = Tombstone(name, digest, EPOCH + timedelta(milliseconds=at_ms))
            if newest:
                await self._mirror.keep(newest.values())
        except (RedisUnavailable, RedisRefused) as error:
            self._mirror_trouble.note(error)
            missed.add(MIRROR)
        else:
            self._mirror_trouble.clear()
        try:
            in_file = await asyncio.to_thread(self._sync_file, known)
        except OSError as error:
            self._file_trouble.note(error.strerror or error)
            missed.add(FILE)
        else:
            self._file_trouble.clear()
            elsewhere |= {stone.id: stone for stone in in_file}
        new = {name: stone for name, stone in elsewhere.items() if name not in known}
        lacking = {name: known[name] for name in known.keys() - await self._adopt()}
        if new or lacking:
            log.warning("tombstones_found", count=len(new) + len(lacking))

            async def work(connection: AsyncConnection) -> None:
                await self._lock(connection)
                await _add(connection, new)
                await _take_up(connection, {**new, **lacking}, None)

            await self._database.write(work)
            return missed | await self.exchange()
        self._compared = None if missed else counts
        return missed

    async def _count_of_mirror(self) -> int | None:
        try:
            return await self._mirror.count()
        except (RedisUnavailable, RedisRefused):
            return None

    async def all(self) -> dict[str, Tombstone]:
        """Return the table's. Raises DatabaseUnavailable."""

        async def work(connection: AsyncConnection) -> list[Any]:
            return list(await connection.execute(select(tombstones)))

        return {row.id: Tombstone(row.id, row.digest, row.at) for row in await self._database.read(work)}

    async def _adopt(self) -> set[str]:
        async def work(connection: AsyncConnection) -> set[str]:
            return set(await connection.scalars(select(erasures.c.id)))

        return await self._database.read(work)

    async def _lock(self, connection: AsyncConnection) -> None:
        """Wait for every transaction that looked before us; whoever looks after us finds what we add."""
        if self._database.is_postgres:
            await connection.execute(text(f"LOCK TABLE {tombstones.name} IN ACCESS EXCLUSIVE MODE"))

    def _sync_file(self, known: Mapping[str, Tombstone]) -> frozenset[Tombstone]:
        """Add to the file what it lacks; return what else it has. Raises OSError."""
        if self.file is None:
            return frozenset()
        if self._in_file is None:
            self._in_file = frozenset(read_from(self.file))
        there = {stone.id for stone in self._in_file}
        lacking = [stone for name, stone in known.items() if name not in there]
        append_to(self.file, lacking)
        self._in_file |= frozenset(lacking)
        return frozenset(stone for stone in self._in_file if stone.id not in known)


def write_remaining(at: datetime, places: Iterable[str]) -> str:
    """Write as JSON where something remains of whoever was erased at a time, until their queues have drained."""
    until = rfc3339(at + DRAINED_AFTER)
    return json.dumps([{"where": place, "until": until} for place in places])


def fresh_id(now: datetime, random: bytes) -> str:
    """Make an erasure's id: its time, then 10 random bytes."""
    return first_id(now.astimezone(UTC))[:12] + random.hex()


async def _counts(connection: AsyncConnection) -> tuple[int, int, int]:
    """Count tombstones, the addresses under them, and the erasures that are taken up."""
    query = select(
        select(func.count()).select_from(tombstones).scalar_subquery(),
        select(func.count(tombstones.c.digest.distinct())).scalar_subquery(),
        select(func.count()).select_from(erasures).scalar_subquery(),
    )
    one, other, last = (await connection.execute(query)).one()
    return one, other, last


def _keep_first(connection: AsyncConnection, table: Table) -> Insert:
    """Insert what is not there yet: another process may have found the same."""
    return insert_into(table, is_postgres=is_postgres(connection)).on_conflict_do_nothing()


async def _add(connection: AsyncConnection, stones: Mapping[str, Tombstone]) -> None:
    if stones:
        rows = [{"id": stone.id, "digest": stone.digest, "at": stone.at} for stone in stones.values()]
        await connection.execute(_keep_first(connection, tombstones), rows)


async def _take_up(connection: AsyncConnection, stones: Mapping[str, Tombstone], method: str | None) -> None:
    """Note what is to be done about each tombstone in this database."""
    rows = [
        {
            "id": stone.id,
            "method": method,
            "at": stone.at,
            "state": TABLES,
            "waiting": "[]",
            "remains": write_remaining(stone.at, FIRST),
        }
        for stone in stones.values()
    ]
    await connection.execute(_keep_first(connection, erasures), rows)


def _newest(stones: Iterable[Tombstone]) -> dict[str, Tombstone]:
    found: dict[str, Tombstone] = {}
    for stone in stones:
        if stone.digest not in found or found[stone.digest].at_ms < stone.at_ms:
            found[stone.digest] = stone
    return found
