"""Publishes the limits of templates in Redis for the gateway, at the start and when Redis lost them."""

import asyncio
from collections.abc import Mapping

from imsg_contract.route_limits import ProviderLimits, RouteLimits
from imsg_contract.topology import route_limits_key, template_limits_key
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script
from imsg_wechat.templates import Templates, merge_limits

CHECK_EVERY_S = 5.0

_REPLACE = Script.of("""
redis.call('DEL', KEYS[1])
if #ARGV > 1 then redis.call('HSET', KEYS[1], unpack(ARGV, 2)) end
return redis.call('SET', KEYS[2], ARGV[1])
""")
"""ARGV: the limits of each account, then names and merged limits of the templates."""

log = logger(__name__)


class PublishedLimits:
    """Publishes the limits of a channel's templates: merged, for lists, and of each account, for checks."""

    def __init__(self, redis: Redis, method: str, accounts: Mapping[str, Templates]) -> None:
        self._redis = redis
        self._keys = template_limits_key(method), route_limits_key(method)
        self._merged = {name.encode(): limits.encode() for name, limits in merge_limits(accounts).items()}
        providers = (
            ProviderLimits(name=name, countries=("",), limits=templates.limits() or None)
            for name, templates in accounts.items()
        )
        self._by_account = RouteLimits(providers=tuple(providers)).encode()

    async def run(self) -> None:
        """Publish the limits, and check them every `CHECK_EVERY_S`, until cancelled."""
        problem = RecurringProblem(log, "templates_not_published", level="info")
        while True:
            with problem.catch(RedisUnavailable, RedisRefused):
                merged, by_account = self._keys
                is_merged = await self._redis.call("HGETALL", merged) == self._merged
                if not is_merged or await self._redis.call("GET", by_account) != self._by_account:
                    words = [word for pair in self._merged.items() for word in pair]
                    await self._redis.run(_REPLACE, self._keys, [self._by_account, *words])
            await asyncio.sleep(CHECK_EVERY_S)
