"""Publishes the limits of templates in Redis for the gateway, at the start and when Redis lost them."""

import asyncio
from collections.abc import Mapping

from imsg_contract.topology import template_limits_key
from imsg_contract.wire import TemplateLimits
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script

CHECK_EVERY_S = 5.0

_REPLACE = Script.of(
    "redis.call('DEL', KEYS[1]) if #ARGV > 0 then redis.call('HSET', KEYS[1], unpack(ARGV)) end return 1"
)

log = logger(__name__)


class PublishedLimits:
    """Publishes the limits of one channel."""

    def __init__(self, redis: Redis, method: str, limits: Mapping[str, TemplateLimits]) -> None:
        self._redis = redis
        self._key = template_limits_key(method)
        self._limits = {name.encode(): limit.model_dump_json().encode() for name, limit in limits.items()}

    async def run(self) -> None:
        """Publish the limits, and check them every `CHECK_EVERY_S`, until cancelled."""
        problem = RecurringProblem(log, "templates_not_published", level="info")
        while True:
            try:
                if await self._redis.call("HGETALL", self._key) != self._limits:
                    await self._redis.run(
                        _REPLACE, [self._key], [part for pair in self._limits.items() for part in pair]
                    )
            except (RedisUnavailable, RedisRefused) as error:
                problem.note(error)
            else:
                problem.clear()
            await asyncio.sleep(CHECK_EVERY_S)
