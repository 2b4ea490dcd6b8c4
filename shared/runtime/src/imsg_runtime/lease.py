"""A lease: a key in Redis that one process holds and renews, and that expires when the process is gone.

It avoids double work. It is no lock: a process that loses it may still be at work, so that work must be repeatable.
"""

from imsg_runtime.redis import Redis, Script

_TAKE = Script.of("""
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

_GIVE_UP = Script.of("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")


class Lease:
    """A lease of `life_s` from each time it is taken or renewed."""

    def __init__(self, redis: Redis, key: str, owner: str, life_s: float) -> None:
        """`owner` must differ from that of every other process."""
        self.life_s = life_s
        self._redis = redis
        self._key = key
        self._owner = owner

    async def acquire(self) -> bool:
        """Acquire or renew the lease; return False where another process holds it.

        Raises RedisUnavailable, RedisRefused.
        """
        return bool(await self._redis.run(_TAKE, [self._key], [self._owner, int(self.life_s * 1_000)]))

    async def give_up(self) -> None:
        """Release the lease where this process holds it. Raises RedisUnavailable, RedisRefused."""
        await self._redis.run(_GIVE_UP, [self._key], [self._owner])
