"""The store of tombstones: history's table, Redis, and a file that no backup contains.

Each of the three gets what it lacks from the others: a restored table from Redis or the file, an emptied Redis from the
table.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import Change
from imsg_database.engines import is_postgres
from imsg_database.inserts import Insert, insert_into
from imsg_history.audit import insert_line
from imsg_history.database import Database
from imsg_history.ids import EPOCH, first_id, rfc3339
from imsg_history.tables import erasures, tombstones
from imsg_people.tombstones import Tombstone, Tombstones, append_to_file, read_file
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable

log = logger(__name__)

TOMBSTONE_TIMEOUT_S = 10.0
"""How long a new tombstone waits for batches that are being written, while its caller waits."""

TABLES, REDIS, QUEUES, DONE = "tables", "redis", "queues", "done"
"""The states of an erasure: what it empties now, and at last `done`."""

FIRST_PLACES = ("history", "redis", "queues")
"""The places that hold data of a person when their erasure begins."""

DRAINED_AFTER = timedelta(hours=72)
"""After so long no queue holds a copy of a job: its life and its extension are 24 h each at most."""

FILE, MIRROR = "file", "redis"


class TombstoneStore:
    """Keeps tombstones in all three places."""

    def __init__(self, database: Database, mirror: Tombstones, file: Path | None) -> None:
        self.file = file
        self._database = database
        self._mirror = mirror
        self._in_file: frozenset[Tombstone] | None = None
        self._synchronized_counts: tuple[int, int, int] | None = None
        """The counts of the table when all three places last agreed."""
        self._mirror_trouble = RecurringProblem(log, "tombstones_not_published")
        self._file_trouble = RecurringProblem(log, "tombstones_not_written", file=str(file))

    async def place(self, stone: Tombstone, method: str, record: Change) -> None:
        """Insert a new tombstone, which every later write sees, and its audit record. Raises DatabaseUnavailable."""
        line = insert_line(record)

        async def work(connection: AsyncConnection) -> None:
            await self._lock(connection)
            await _add(connection, {stone.id: stone})
            await _begin_erasures(connection, {stone.id: stone}, method)
            await connection.execute(line)

        await self._database.write(work, TOMBSTONE_TIMEOUT_S)

    async def synchronize(self) -> set[str]:
        """Synchronize all three; return which of FILE and MIRROR failed. Raises DatabaseUnavailable."""
        counts = await self._database.read(_count)
        if counts == self._synchronized_counts and await self._count_of_mirror() == counts[1]:
            return set()
        unsynchronized: set[str] = set()
        known = await self.list_all()
        newest = _newest(known.values())
        elsewhere: dict[str, Tombstone] = {}
        try:
            for digest, (at_ms, name) in (await self._mirror.read()).items():
                elsewhere[name] = Tombstone(name, digest, EPOCH + timedelta(milliseconds=at_ms))
            if newest:
                await self._mirror.write(newest.values())
        except (RedisUnavailable, RedisRefused) as error:
            self._mirror_trouble.report(error)
            unsynchronized.add(MIRROR)
        else:
            self._mirror_trouble.clear()
        try:
            in_file = await asyncio.to_thread(self._sync_file, known)
        except OSError as error:
            self._file_trouble.report(error.strerror or error)
            unsynchronized.add(FILE)
        else:
            self._file_trouble.clear()
            elsewhere |= {stone.id: stone for stone in in_file}
        new = {name: stone for name, stone in elsewhere.items() if name not in known}
        lacking = {name: known[name] for name in known.keys() - await self._list_begun()}
        if new or lacking:
            log.warning("tombstones_found", count=len(new) + len(lacking))

            async def work(connection: AsyncConnection) -> None:
                await self._lock(connection)
                await _add(connection, new)
                await _begin_erasures(connection, {**new, **lacking}, None)

            await self._database.write(work)
            return unsynchronized | await self.synchronize()
        self._synchronized_counts = None if unsynchronized else counts
        return unsynchronized

    async def _count_of_mirror(self) -> int | None:
        try:
            return await self._mirror.count()
        except (RedisUnavailable, RedisRefused):
            return None

    async def list_all(self) -> dict[str, Tombstone]:
        """Return the tombstones of the table by their ids. Raises DatabaseUnavailable."""
        rows = await self._database.fetch(select(tombstones))
        return {row.id: Tombstone(row.id, row.digest, row.at) for row in rows}

    async def _list_begun(self) -> set[str]:
        return {row.id for row in await self._database.fetch(select(erasures.c.id))}

    async def _lock(self, connection: AsyncConnection) -> None:
        """Wait for the transactions that looked up tombstones before; later ones see the new tombstones."""
        if self._database.is_postgres:
            await connection.execute(text(f"LOCK TABLE {tombstones.name} IN ACCESS EXCLUSIVE MODE"))

    def _sync_file(self, known: Mapping[str, Tombstone]) -> frozenset[Tombstone]:
        """Append to the file what it lacks; return what the table lacks. Raises OSError."""
        if self.file is None:
            return frozenset()
        if self._in_file is None:
            self._in_file = frozenset(read_file(self.file))
        there = {stone.id for stone in self._in_file}
        lacking = [stone for name, stone in known.items() if name not in there]
        append_to_file(self.file, lacking)
        self._in_file |= frozenset(lacking)
        return frozenset(stone for stone in self._in_file if stone.id not in known)


def write_remaining(at: datetime, places: Iterable[str]) -> str:
    """Write as JSON the places that may still hold data of a person erased at `at`."""
    until = rfc3339(at + DRAINED_AFTER)
    return json.dumps([{"where": place, "until": until} for place in places])


def make_erasure_id(now: datetime, random: bytes) -> str:
    """Make an erasure's id: its time, then 10 random bytes."""
    return first_id(now.astimezone(UTC))[:12] + random.hex()


async def _count(connection: AsyncConnection) -> tuple[int, int, int]:
    """Count tombstones, their digests, and erasures."""
    query = select(
        select(func.count()).select_from(tombstones).scalar_subquery(),
        select(func.count(tombstones.c.digest.distinct())).scalar_subquery(),
        select(func.count()).select_from(erasures).scalar_subquery(),
    )
    all_stones, other, last = (await connection.execute(query)).one()
    return all_stones, other, last


def _insert_new(connection: AsyncConnection, table: Table) -> Insert:
    """Build an insert of rows that skips existing ones, since another process may insert the same."""
    return insert_into(table, is_postgres=is_postgres(connection)).on_conflict_do_nothing()


async def _add(connection: AsyncConnection, stones: Mapping[str, Tombstone]) -> None:
    if stones:
        rows = [{"id": stone.id, "digest": stone.digest, "at": stone.at} for stone in stones.values()]
        await connection.execute(_insert_new(connection, tombstones), rows)


async def _begin_erasures(connection: AsyncConnection, stones: Mapping[str, Tombstone], method: str | None) -> None:
    """Insert the erasure that each tombstone begins in this database."""
    rows = [
        {
            "id": stone.id,
            "method": method,
            "at": stone.at,
            "state": TABLES,
            "waiting": "[]",
            "remains": write_remaining(stone.at, FIRST_PLACES),
        }
        for stone in stones.values()
    ]
    await connection.execute(_insert_new(connection, erasures), rows)


def _newest(stones: Iterable[Tombstone]) -> dict[str, Tombstone]:
    newest: dict[str, Tombstone] = {}
    for stone in stones:
        if stone.digest not in newest or newest[stone.digest].at_ms < stone.at_ms:
            newest[stone.digest] = stone
    return newest
