"""Messages that WeChat may have by a way without a client_msg_id: noted before the call, so that no crash hides it."""

from imsg_runtime.redis import Redis

KEPT_S = 3 * 86_400
"""Longer than any message lives, its extensions included."""


class Doubts:
    """Notes in Redis. Every verb raises RedisUnavailable, RedisRefused."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, message: str) -> str | None:
        """Return the way by which WeChat may have a message."""
        found = await self._redis.call("GET", _key(message))
        return None if found is None else str(found.decode())

    async def note(self, message: str, way: str) -> None:
        """Note a way that is about to be tried."""
        await self._redis.call("SET", _key(message), way, "EX", KEPT_S)

    async def clear(self, message: str) -> None:
        """Forget it: WeChat has said what became of the call."""
        await self._redis.call("DEL", _key(message))


def _key(message: str) -> str:
    return f"imsg:wechat:doubt:{message}"
