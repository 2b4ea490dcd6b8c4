"""Calls without a client_msg_id whose result is not known yet: recorded before the call, so that a crash loses none."""

from imsg_runtime.redis import Redis

KEPT_S = 3 * 86_400
"""Longer than the lifetime of any message."""


class UnconfirmedCalls:
    """Records in Redis. Every method raises RedisUnavailable, RedisRefused."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, message: str) -> str | None:
        """Return the delivery option by which WeChat may have a message; None if there is none."""
        option = await self._redis.call("GET", _key(message))
        return None if option is None else str(option.decode())

    async def note(self, message: str, option: str) -> None:
        """Record a delivery option before its call."""
        await self._redis.call("SET", _key(message), option, "EX", KEPT_S)

    async def clear(self, message: str) -> None:
        """Remove the record: the result of the call is known."""
        await self._redis.call("DEL", _key(message))


def _key(message: str) -> str:
    return f"imsg:wechat:doubt:{message}"
