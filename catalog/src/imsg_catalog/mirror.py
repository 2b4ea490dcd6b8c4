"""The mirror of the suppressions in Redis: written with each change, and rewritten where it is incomplete.

It is written inside the transaction that changes the rows, which locks out other writers: so it is written in order,
and a row that could not be mirrored is rolled back.
"""

import asyncio
from collections.abc import Callable, Iterable

from imsg_catalog.store import Place, Rows, Store
from imsg_channels import METHODS
from imsg_contract.suppressions import write_entries
from imsg_contract.topology import SUPPRESSED_COMPLETE, suppressed_key
from imsg_database.unavailable import DatabaseUnavailable
from imsg_people.suppressions import COMPLETE, SUPPRESSED_FILLING
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Argument, Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

POLL_S = 0.25
"""How often the mirror is checked for completeness: a sender without it waits a second for the catalog."""

COMPARE_S = 600.0
"""How often the mirror is compared with the rows."""

AT_ONCE = 500
"""Addresses of one write."""

OVER = 1_000
"""Expired suppressions that are deleted in one transaction."""


class Mirror:
    """Writes the mirror."""

    def __init__(self, redis: Redis, store: Store, now_ms: Callable[[], int]) -> None:
        self._redis = redis
        self._store = store
        self._now_ms = now_ms
        self.is_whole = False
        """Whether the mirror was complete at the last check."""

    async def write(self, rows: Rows, places: Iterable[Place]) -> None:
        """Write the entries of people. Raises RedisUnavailable, RedisRefused, DatabaseUnavailable."""
        entries_by_place = await rows.entries(places)
        for method in sorted({method for method, _ in entries_by_place}):
            written: list[Argument] = []
            gone: list[Argument] = []
            for (of, person), entries in entries_by_place.items():
                if of == method:
                    (written.extend((person, write_entries(entries))) if entries else gone.append(person))
            for first in range(0, len(written), 2 * AT_ONCE):
                await self._redis.call("HSET", suppressed_key(method), *written[first : first + 2 * AT_ONCE])
            for first in range(0, len(gone), AT_ONCE):
                await self._redis.call("HDEL", suppressed_key(method), *gone[first : first + AT_ONCE])

    async def run(self) -> None:
        """Complete the mirror and remove expired entries, again and again until cancelled."""
        loop = asyncio.get_running_loop()
        compare_at = 0.0
        problem = RecurringProblem(log, "suppressions_not_mirrored")
        while True:
            try:
                if loop.time() >= compare_at:
                    await self._delete_expired()
                    await self._compare_counts()
                    compare_at = loop.time() + COMPARE_S
                for method in await self._find_incomplete():
                    await self._fill(method)
                self.is_whole = True
                problem.clear()
            except (RedisUnavailable, RedisRefused, DatabaseUnavailable) as error:
                self.is_whole = False
                problem.report(error)
                await asyncio.sleep(1)
            await asyncio.sleep(POLL_S)

    async def _find_incomplete(self) -> list[str]:
        answers = await asyncio.gather(
            *(self._redis.call("HEXISTS", suppressed_key(method), SUPPRESSED_COMPLETE) for method in METHODS)
        )
        return [method for method, is_whole in zip(METHODS, answers, strict=True) if not is_whole]

    async def _compare_counts(self) -> None:
        """Rewrite a mirror with another number of people than the rows: a commit may have failed."""
        for method in METHODS:
            async with self._store.writing() as rows:
                people = await rows.count_people(method)
                has = int(await self._redis.call("HLEN", suppressed_key(method)))
                if has != people + 1 and await self._redis.call("HEXISTS", suppressed_key(method), SUPPRESSED_COMPLETE):
                    log.warning("suppressions_mirror_differs", method=method, has=has - 1, wants=people)
                    await self._rewrite(rows, method)

    async def _fill(self, method: str) -> None:
        # Before the lock: senders that wait then know that the mirror is being written.
        await self._redis.call("HSET", suppressed_key(method), SUPPRESSED_FILLING, 1)
        async with self._store.writing() as rows:
            if not await self._redis.call("HEXISTS", suppressed_key(method), SUPPRESSED_COMPLETE):
                await self._rewrite(rows, method)

    async def _rewrite(self, rows: Rows, method: str) -> None:
        key, person, count = suppressed_key(method), "", 0
        await self._redis.call("DEL", key)
        await self._redis.call("HSET", key, SUPPRESSED_FILLING, 1)
        while entries_by_place := await rows.entries_after(method, person, AT_ONCE):
            words: list[Argument] = []
            for (_, person), entries in entries_by_place.items():
                words += [person, write_entries(entries)]
            await self._redis.call("HSET", key, *words)
            count += len(entries_by_place)
        await self._redis.call("HSET", key, SUPPRESSED_COMPLETE, COMPLETE)
        await self._redis.call("HDEL", key, SUPPRESSED_FILLING)
        log.info("suppressions_mirrored", method=method, people=count)

    async def _delete_expired(self) -> None:
        while True:
            async with self._store.writing() as rows:
                over = await rows.over(self._now_ms(), OVER)
                if not over:
                    return
                await rows.remove([row.id for row in over])
                await self.write(rows, [row.place for row in over])
