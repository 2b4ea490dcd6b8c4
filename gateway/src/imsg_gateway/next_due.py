"""When the first job of each method is due: scheduler writes it, and gateways too, as scheduler may be away."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from prometheus_client import Gauge

from imsg_contract.topology import next_due_key
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script

POLL_S = 1.0

_RECORD = Script.of("""
local known = tonumber(redis.call('GET', KEYS[1]) or 0)
if known == 0 or tonumber(ARGV[1]) < known then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
""")
"""ARGV: when a job is due (Unix ms)."""


class NextDue:
    """Records when jobs accepted for scheduler are due; scheduler corrects it every other second."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def record(self, method: str, due_at: datetime) -> None:
        """Record when an accepted job is due; a failure of Redis is ignored, since scheduler records it too."""
        with suppress(RedisUnavailable, RedisRefused):
            await self._redis.run(_RECORD, [next_due_key(method)], [round(due_at.timestamp() * 1_000)])

    async def find_late_s(self, method: str) -> int:
        """Return for how long what was to be sent later has been due. Raises RedisUnavailable."""
        (now_s, _), due_ms = await asyncio.gather(
            self._redis.call("TIME"), self._redis.call("GET", next_due_key(method))
        )
        return max(0, int(now_s) - int(due_ms) // 1_000) if int(due_ms or 0) else 0

    async def watch(self, methods: Sequence[str], late: Gauge) -> None:
        """Show every second how late each method is, for ever: scheduler's own metric is away when scheduler is.

        While Redis is away nothing is shown: what was true before may be so no more.
        """
        while True:
            try:
                for method in methods:
                    late.labels(method).set(await self.find_late_s(method))
            except (RedisUnavailable, RedisRefused):
                late.clear()
            await asyncio.sleep(POLL_S)
