"""Compacts settled chunks to eight bytes each: their hashes are deleted seconds after their end (ADR 25).

A set `imsg:ledger:settled/TENS` has the digests of the settled chunks that were accepted in the same ten seconds.
A recipient without a record in its hash was sent to. The set expires with the last of the hashes. Redis stores a set of
integers as eight bytes each (`set-max-intset-entries`).

A set is written before its hashes are deleted, and read after a delivery is begun: a worker that finds no hash finds
the set.
"""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from imsg_delivery.claims.scripts import load
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Argument, Read, Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

LOOK_AFTER_S = 20.0
"""The age of a job, by Redis' clock, from which the begin of a delivery reads whether its chunk is settled."""

COMPACT_AFTER_S = 30.0
"""The age from which a hash may be deleted: higher than LOOK_AFTER_S, in case a clock is set back a little."""

EVERY_S = 1.0
AT_ONCE = 500
"""Chunks of one step."""

MAX_WAITING = 200_000
"""How many chunks wait for compaction: the hashes of further ones stay until they expire."""

BUCKET_S = 10

KEY = "imsg:ledger:settled/"
"""The prefix of the tens of seconds (Unix) in which chunks were accepted."""


class SettledChunk(NamedTuple):
    """A chunk of which every recipient has ended."""

    accepted_s: float
    name: str
    key: str
    keep_until_ms: int
    is_sure: bool
    """It was one message, claimed as new and sent. Otherwise compaction checks the hash first."""


def digest_of(name: str) -> int:
    """Return a chunk's digest: a signed integer of 64 bits, the largest that Redis stores compactly."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


def bucket_of(accepted_s: float) -> str:
    """Return the key of the set for chunks accepted at a time."""
    return f"{KEY}{int(accepted_s // BUCKET_S)}"


def settled_read(name: str, accepted_s: float) -> Read:
    """Return the read of whether a chunk is settled."""
    return Read("SMISMEMBER", bucket_of(accepted_s), (digest_of(name),))


class Compaction:
    """Deletes the hashes of settled chunks. Those that wait when the worker ends stay until they expire."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.ended: list[SettledChunk] = []
        """Chunks settled since the last step."""
        self._waiting: list[SettledChunk] = []
        """Chunks that are not old enough: a heap by acceptance, of at most MAX_WAITING."""
        self._check, self._keep, self._drop = load("all_ended"), load("keep_settled"), load("drop_sent")

    async def keep_compacting(self) -> None:
        """Compact again and again, as long as the worker lives."""
        problem = RecurringProblem(log, "not_compacted")
        while True:
            self._gather()
            with problem.catch(RedisUnavailable, RedisRefused):
                await self.compact()
            await asyncio.sleep(EVERY_S)

    async def compact(self) -> int:
        """Compact the chunks that are old enough; return their number. Raises RedisUnavailable, RedisRefused."""
        self._gather()
        if not self._waiting:
            return 0
        now_ms = await self._now_ms()
        before_s, done = now_ms / 1000 - COMPACT_AFTER_S, 0
        while due := self._next_due(before_s):
            try:
                done += await self._compact(due)
            except RedisUnavailable:
                for chunk in due:  # again later: every step may be repeated
                    heapq.heappush(self._waiting, chunk)
                raise
        return done

    def _gather(self) -> None:
        for chunk in self.ended[: MAX_WAITING - len(self._waiting)]:
            heapq.heappush(self._waiting, chunk)
        self.ended.clear()

    def _next_due(self, before_s: float) -> list[SettledChunk]:
        due: list[SettledChunk] = []
        while len(due) < AT_ONCE and self._waiting and self._waiting[0].accepted_s <= before_s:
            due.append(heapq.heappop(self._waiting))
        return due

    async def _compact(self, due: Sequence[SettledChunk]) -> int:
        sure = [chunk for chunk in due if chunk.is_sure]
        others = [chunk for chunk in due if not chunk.is_sure]
        replies = await asyncio.gather(*(self._redis.run(self._check, [chunk.key], []) for chunk in others))
        mixed = [chunk for chunk, reply in zip(others, replies, strict=True) if reply == MIXED]
        sure += [chunk for chunk, reply in zip(others, replies, strict=True) if reply == SENT]
        await self._store_all([*sure, *mixed])
        # Only after the set is written: a worker that finds no hash has to find the set.
        if sure:
            await self._redis.call("UNLINK", *(chunk.key for chunk in sure))
        await asyncio.gather(*(self._redis.run(self._drop, [chunk.key], []) for chunk in mixed))
        return len(sure) + len(mixed)

    async def _store_all(self, chunks: Iterable[SettledChunk]) -> None:
        members: dict[str, list[Argument]] = defaultdict(list)
        until: dict[str, int] = defaultdict(int)
        for chunk in chunks:
            bucket = bucket_of(chunk.accepted_s)
            members[bucket].append(digest_of(chunk.name))
            until[bucket] = max(until[bucket], chunk.keep_until_ms)
        await asyncio.gather(
            *(self._redis.run(self._keep, [bucket], [until[bucket], *found]) for bucket, found in members.items())
        )

    async def _now_ms(self) -> int:
        seconds, micros = await self._redis.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000


SENT, MIXED = 1, 2
"""The replies of the check of a hash: every recipient was sent to; or all are settled, some otherwise."""
