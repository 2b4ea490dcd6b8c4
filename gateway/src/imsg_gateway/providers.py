"""Which channels have no provider: what they were given would wait for ever, so nothing is taken for them."""

import asyncio
from collections.abc import Mapping, Sequence

from imsg_contract.errors import Refusal
from imsg_contract.topology import no_provider_key
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

POLL_S = 1.0
RETRY_AFTER_S = 60
"""A person has to set something."""


class Providers:
    """Knows, a second old at most, which senders idle."""

    def __init__(self, redis: Redis, methods: Sequence[str]) -> None:
        self._redis = redis
        self._methods = methods
        self._missing: Mapping[str, str] = {}

    async def watch(self) -> None:
        """Read which channels lack a provider, every second; keep the last state while Redis is unavailable."""
        while True:
            try:
                remedies = await self._redis.call("MGET", *map(no_provider_key, self._methods))
            except (RedisUnavailable, RedisRefused):
                pass
            else:
                pairs = zip(self._methods, remedies, strict=True)
                self._missing = {method: remedy.decode() for method, remedy in pairs if remedy is not None}
            await asyncio.sleep(POLL_S)

    def check(self, method: str) -> None:
        """Raise Refusal no_provider where a channel has no provider."""
        if (remedy := self._missing.get(method)) is not None:
            raise Refusal("no_provider", method=method, remedy=remedy, retry_after_s=RETRY_AFTER_S)
