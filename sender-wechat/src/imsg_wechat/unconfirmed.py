"""Records calls without a client_msg_id before they are made, so that none is repeated after a crash."""

from imsg_runtime.redis import Redis

RETENTION_S = 3 * 86_400
"""Longer than the lifetime of any message."""


class UnconfirmedCalls:
    """Records in Redis. Every method raises RedisUnavailable, RedisRefused."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, message: str) -> str | None:
        """Return the delivery option of an unconfirmed call for a message; None if there is none."""
        option = await self._redis.call("GET", _key(message))
        return None if option is None else str(option.decode())

    async def record(self, message: str, option: str) -> None:
        """Record a delivery option before its call."""
        await self._redis.call("SET", _key(message), option, "EX", RETENTION_S)

    async def clear(self, message: str) -> None:
        """Remove the record, because the result of the call is known."""
        await self._redis.call("DEL", _key(message))


def _key(message: str) -> str:
    return f"imsg:wechat:doubt:{message}"
