"""Counters that forget by themselves."""

from dataclasses import dataclass

from imsg_limits.quota.scripts import TALLY
from imsg_runtime.redis import Redis


@dataclass(frozen=True, slots=True)
class Tallied:
    """How often something was counted, and for how long that is remembered."""

    count: int
    ends_in_s: float


class Tallies:
    """Counters that forget by themselves: wrong passwords, unknown recipients. Raises as runtime.redis does."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, key: str, amount: int, lasts_s: int) -> Tallied:
        """Count `amount` more and return the sum; the first count sets when all of it is forgotten."""
        count, ends_in_ms = await self._redis.run(TALLY, [_tally_key(key)], [amount, lasts_s])
        return Tallied(int(count), int(ends_in_ms) / 1000)

    async def read(self, key: str) -> Tallied:
        """Return the sum, counting nothing."""
        return await self.add(key, 0, 1)

    async def forget(self, key: str) -> None:
        """Start from nothing."""
        await self._redis.call("DEL", _tally_key(key))


def _tally_key(key: str) -> str:
    return f"imsg:tally:{key}"
