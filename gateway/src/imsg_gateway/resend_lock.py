"""Who sends a message again first: taken in Redis, since history learns of a resend only when it was accepted.

A request's hash holds message → the new request that takes it. History knows within a second in normal running, and
the hash lasts for longer than any backlog of its that is not an alarm.
"""

from collections.abc import Sequence

from imsg_runtime.redis import Redis, Script

KEPT_S = 3_600

_TAKE = Script.of("""
local taken = {}
for at = 3, #ARGV do
  redis.call('HSETNX', KEYS[1], ARGV[at], ARGV[1])
  if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[1] then taken[#taken + 1] = ARGV[at] end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return taken
""")
"""ARGV: the new request, seconds, numbers of messages. A repeat under the same id takes the same ones."""

_RELEASE = Script.of("""
for _, n in ipairs(redis.call('HKEYS', KEYS[1])) do
  if redis.call('HGET', KEYS[1], n) == ARGV[1] then redis.call('HDEL', KEYS[1], n) end
end
return 0
""")


class ResendLocks:
    """Messages that are being sent again. Raises RedisUnavailable and RedisRefused as runtime.redis does."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def acquire(self, old: str, ns: Sequence[int], new: str) -> set[int]:
        """Lock messages of a request for a new one; return those that no other request has locked."""
        return set(map(int, await self._redis.run(_TAKE, [_key(old)], [new, KEPT_S, *ns])))

    async def release(self, old: str, new: str) -> None:
        """Release the messages that a request which was not accepted had locked."""
        await self._redis.run(_RELEASE, [_key(old)], [new])


def _key(request: str) -> str:
    return f"imsg:resent:{request}"
