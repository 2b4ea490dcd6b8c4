"""Counters in Redis that expire."""

from dataclasses import dataclass

from imsg_limits.quota.scripts import COUNT
from imsg_runtime.redis import Redis


@dataclass(frozen=True, slots=True)
class Count:
    """The value of a counter, and the seconds until it expires."""

    count: int
    ends_in_s: float


class Counters:
    """Counters that expire, such as of wrong passwords. Its methods raise RedisUnavailable, RedisRefused."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, key: str, amount: int, lasts_s: int) -> Count:
        """Add `amount` and return the sum; the first addition sets when the counter expires."""
        count, ends_in_ms = await self._redis.run(COUNT, [_counter_key(key)], [amount, lasts_s])
        return Count(int(count), int(ends_in_ms) / 1000)

    async def read(self, key: str) -> Count:
        """Return the sum without adding."""
        return await self.add(key, 0, 1)

    async def forget(self, key: str) -> None:
        """Reset the counter."""
        await self._redis.call("DEL", _counter_key(key))


def _counter_key(key: str) -> str:
    return f"imsg:tally:{key}"
