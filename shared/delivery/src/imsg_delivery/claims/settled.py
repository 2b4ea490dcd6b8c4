"""Chunks that are settled, in eight bytes each: their hashes go some seconds after they have ended (ADR 25).

A set `imsg:ledger:settled/TENS` holds the digests of the chunks that were accepted in the same ten seconds and whose
recipients have all ended. Recipients of which their hash holds nothing any more were sent to. It lives as long as the
longest of the hashes would have. Redis keeps a set of whole numbers as eight bytes each (`set-max-intset-entries`).

A set is written before hashes go, and read after a delivery was begun. So who finds no hash finds the set.
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
"""From this age on of a job, by Redis' clock, a delivery that begins asks whether its chunk is settled."""

COMPACT_AFTER_S = 30.0
"""From this age on a hash may go: later than who begins asks, should a clock be set back a little."""

EVERY_S = 1.0
AT_ONCE = 500
"""Chunks of one step."""

MOST_WAITING = 200_000
"""Chunks that wait to be compacted: what comes beside them keeps its hash until it expires."""

BUCKET_S = 10

KEY = "imsg:ledger:settled/"
"""Before the tens of seconds (Unix) in which chunks were accepted."""


class SettledChunk(NamedTuple):
    """A chunk of which every recipient has ended."""

    accepted_s: float
    name: str
    key: str
    keep_until_ms: int
    is_sure: bool
    """All is known: it was one message, claimed as new and sent. Else its hash is looked at first."""


def digest_of(name: str) -> int:
    """Make a chunk's number: 64 bits, signed, as Redis counts."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)


def bucket_of(accepted_s: float) -> str:
    """Name the set of what was accepted then."""
    return f"{KEY}{int(accepted_s // BUCKET_S)}"


def question(name: str, accepted_s: float) -> Read:
    """Ask whether a chunk is settled."""
    return Read("SMISMEMBER", bucket_of(accepted_s), (digest_of(name),))


class Compaction:
    """Lets the hashes of settled chunks go. What waits when a worker ends keeps its hash until that expires."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.ended: list[SettledChunk] = []
        """What has ended since it was last looked at."""
        self._waiting: list[SettledChunk] = []
        """What waits to be old enough: a heap, what was accepted first goes first; of MOST_WAITING at most."""
        self._check, self._keep, self._drop = load("all_ended"), load("keep_settled"), load("drop_sent")

    async def keep_compacting(self) -> None:
        """Compact again and again, as long as the worker lives."""
        problem = RecurringProblem(log, "not_compacted")
        while True:
            self._gather()
            try:
                await self.compact()
            except (RedisUnavailable, RedisRefused) as error:
                problem.note(error)
            else:
                problem.clear()
            await asyncio.sleep(EVERY_S)

    async def compact(self) -> int:
        """Compact what is old enough; return how many chunks. Raises RedisUnavailable, RedisRefused."""
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
        for chunk in self.ended[: MOST_WAITING - len(self._waiting)]:
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
        looks = await asyncio.gather(*(self._redis.run(self._check, [chunk.key], []) for chunk in others))
        mixed = [chunk for chunk, found in zip(others, looks, strict=True) if found == MIXED]
        sure += [chunk for chunk, found in zip(others, looks, strict=True) if found == SENT]
        await self._keep_all([*sure, *mixed])
        # Only now: whoever finds no hash has to find the set.
        if sure:
            await self._redis.call("UNLINK", *(chunk.key for chunk in sure))
        await asyncio.gather(*(self._redis.run(self._drop, [chunk.key], []) for chunk in mixed))
        return len(sure) + len(mixed)

    async def _keep_all(self, chunks: Iterable[SettledChunk]) -> None:
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
"""What a look at a hash finds: every recipient was sent to; or has ended, some of them otherwise."""
