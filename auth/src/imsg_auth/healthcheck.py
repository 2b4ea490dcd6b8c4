"""Whether the database and Redis answer, asked now and then, for readiness."""

import asyncio

from imsg_auth.store import Store
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

ASK_EVERY_S = 2.0


class Healthcheck:
    """What answered when last asked."""

    def __init__(self, store: Store, redis: Redis) -> None:
        self._store = store
        self._redis = redis
        self.has_store = True
        self.has_redis = True

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            self.has_store = await self._store_answers()
            self.has_redis = await self._redis_answers()

    async def _store_answers(self) -> bool:
        try:
            async with self._store.reading() as rows:
                await rows.has_users()
        except DatabaseUnavailable:
            return False
        return True

    async def _redis_answers(self) -> bool:
        try:
            await self._redis.call("PING")
        except (RedisUnavailable, RedisRefused):
            return False
        return True
