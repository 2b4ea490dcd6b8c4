"""One process among many: a key in Redis that its holder renews, and that ends by itself where the holder is gone.

It keeps work from being done twice for nothing. It is no fence: who loses it may be in the middle of something, so
what is done under it has to bear being done twice.
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
    """The right to do something alone, for `life_s` from each time it is taken."""

    def __init__(self, redis: Redis, key: str, owner: str, life_s: float) -> None:
        """`owner` has to be unlike that of every other process."""
        self.life_s = life_s
        self._redis = redis
        self._key = key
        self._owner = owner

    async def take(self) -> bool:
        """Take it, or renew what is ours; False where another has it. Raises RedisUnavailable, RedisRefused."""
        return bool(await self._redis.run(_TAKE, [self._key], [self._owner, int(self.life_s * 1_000)]))

    async def give_up(self) -> None:
        """Let another take it at once, where it is ours. Raises RedisUnavailable, RedisRefused."""
        await self._redis.run(_GIVE_UP, [self._key], [self._owner])
