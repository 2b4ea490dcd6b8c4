"""Whether the database and Redis answer, for readiness."""

import asyncio

from imsg_auth.store import Store
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

INTERVAL_S = 2.0


class Healthcheck:
    """The results of the last check."""

    def __init__(self, store: Store, redis: Redis) -> None:
        self._store = store
        self._redis = redis
        self.has_store = True
        self.has_redis = True

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            self.has_store = await self._check_store()
            self.has_redis = await self._check_redis()

    async def _check_store(self) -> bool:
        try:
            async with self._store.reading() as rows:
                await rows.has_users()
        except DatabaseUnavailable:
            return False
        return True

    async def _check_redis(self) -> bool:
        try:
            await self._redis.call("PING")
        except (RedisUnavailable, RedisRefused):
            return False
        return True
