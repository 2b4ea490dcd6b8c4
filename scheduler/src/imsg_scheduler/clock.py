"""The clock of Redis, which all schedulers and the senders' claims go by: that of a machine may be wrong, or jump."""

from datetime import UTC, datetime

from imsg_runtime.redis import Redis


class RedisClock:
    """Reads the time. Every call raises RedisUnavailable, RedisRefused."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self) -> datetime:
        """Return the time, to the millisecond."""
        return datetime.fromtimestamp(await self.read_ms() / 1_000, UTC)

    async def read_ms(self) -> int:
        """Return the time in Unix milliseconds."""
        seconds, micros = await self._redis.call("TIME")
        return int(seconds) * 1_000 + int(micros) // 1_000
