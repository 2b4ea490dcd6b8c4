"""When the first job of each method is due: scheduler writes it, and gateways too, as scheduler may be away."""

from datetime import datetime

from imsg_contract.topology import next_due_key
from imsg_runtime.redis import Redis, Script

_NOTE = Script.of("""
local known = tonumber(redis.call('GET', KEYS[1]) or 0)
if known == 0 or tonumber(ARGV[1]) < known then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
""")
"""ARGV: when a job is due (Unix ms)."""


class NextDue:
    """Notes what is accepted for later; scheduler corrects it every half second."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def note(self, method: str, due_at: datetime) -> None:
        """Note a job. Raises RedisUnavailable, RedisRefused."""
        await self._redis.run(_NOTE, [next_due_key(method)], [round(due_at.timestamp() * 1_000)])
