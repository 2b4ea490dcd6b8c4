"""The mirror of the cancels in Redis, which senders read before they send."""

import asyncio

from imsg_contract.topology import CANCELS, CANCELS_COMPLETE
from imsg_database.unavailable import DatabaseUnavailable
from imsg_people.cancels import ALL, COMPLETE
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script
from imsg_scheduler.clock import RedisClock
from imsg_scheduler.store import Store
from imsg_scheduler.tables import ALL_MESSAGES

log = logger(__name__)

POLL_S = 0.5
"""How long senders may wait for the mirror once Redis was flushed."""

COUNT_EVERY = 20
"""Looks after which the mirror is compared: a replica that took over may lack the last second."""

PAGE = 1_000

_ADD = Script.of("""
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known == '*' or known == ARGV[2] then return 0 end
if ARGV[2] == '*' or not known then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
elseif not string.find(',' .. known .. ',', ',' .. ARGV[2] .. ',', 1, true) then
  redis.call('HSET', KEYS[1], ARGV[1], known .. ',' .. ARGV[2])
end
return 1
""")
"""ARGV: request, and `*` or the number of one message. In any order, and repeated, it comes to the same."""


class CancelMirror:
    """The hash `imsg:cancels`."""

    def __init__(self, redis: Redis, store: Store, clock: RedisClock) -> None:
        self._redis = redis
        self._store = store
        self._clock = clock

    async def add(self, request: str, n: int) -> None:
        """Let senders know of a cancel. Raises RedisUnavailable, RedisRefused."""
        await self._redis.run(_ADD, [CANCELS], [request, ALL if n == ALL_MESSAGES else n])

    async def run(self) -> None:
        """Keep the mirror complete until cancelled."""
        problem, looks = RecurringProblem(log, "cancels_not_mirrored"), 0
        while True:
            with problem.catch(DatabaseUnavailable, RedisUnavailable, RedisRefused):
                await self._complete(is_to_be_compared=looks % COUNT_EVERY == 0)
                looks += 1
            await asyncio.sleep(POLL_S)

    async def _complete(self, *, is_to_be_compared: bool) -> None:
        is_complete = await self._redis.call("HGET", CANCELS, CANCELS_COMPLETE) is not None
        if is_complete and is_to_be_compared:
            await self._remove_old()
            async with self._store.reading() as rows:
                count = await rows.count_published()
            is_complete = int(await self._redis.call("HLEN", CANCELS)) > count
        if not is_complete:
            await self._fill()

    async def _fill(self) -> None:
        after, count = ("", ALL_MESSAGES), 0
        while True:
            async with self._store.reading() as rows:
                page = await rows.list_published(after, PAGE)
            if not page:
                break
            await asyncio.gather(*(self.add(request, n) for request, n in page))
            after, count = page[-1], count + len(page)
        await self._redis.call("HSET", CANCELS, CANCELS_COMPLETE, COMPLETE)
        log.info("cancels_mirrored", count=count)

    async def _remove_old(self) -> None:
        now_ms = await self._clock.read_ms()
        async with self._store.writing() as rows:
            gone = await rows.remove_old_cancels(now_ms)
        if gone:
            await self._redis.call("HDEL", CANCELS, *gone)
