"""Which of WeChat's calls have been carried out, by nonce: one that was overheard works no second time."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_wechat.receipts import NotKept

FRESH_S = 300
"""How far a time stamp may be from our clock: older calls are refused, so that a nonce need not be kept for ever."""

TAKEN_S = 2 * FRESH_S + 60
"""Longer than any time stamp is fresh: it may lie ahead of our clock by as much as behind it."""

IN_WORK_S = 6
"""How long a call may be in work; WeChat hangs up after 5 s."""

REDIS_PATIENCE_S = 0.5

IN_WORK, TAKEN = b"in work", b"taken"

log = logger(__name__)


class Repeated(Exception):  # noqa: N818  a state of the world
    """The call was carried out before."""


class Nonces:
    """Remembers calls. Without Redis each counts as the first: what WeChat tells us does no harm twice."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @asynccontextmanager
    async def once(self, account: str, timestamp: str, nonce: str) -> AsyncIterator[None]:
        """Carry a call out; its nonce is taken when that ends well, and free again when it does not.

        Raises Repeated where it is taken, NotKept where the same call is in work: it may yet fail.
        """
        key = f"imsg:wechat:nonce:{account}:{hashlib.sha256(f'{timestamp}:{nonce}'.encode()).hexdigest()}"
        if await self._call("SET", key, IN_WORK, "NX", "EX", IN_WORK_S, absent=False) is None:
            if await self._call("GET", key) == TAKEN:
                raise Repeated
            raise NotKept("the same call is in work")
        try:
            yield
        except BaseException:
            await self._call("DEL", key)
            raise
        await self._call("SET", key, TAKEN, "EX", TAKEN_S)

    async def _call(self, *command: str | bytes | int, absent: object = None) -> object:
        """Call Redis; return `absent` where it is away."""
        try:
            async with asyncio.timeout(REDIS_PATIENCE_S):
                return await self._redis.call(*command)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            log.warning("wechat_nonce_not_recorded", why=str(error) or "Redis took too long")
            return absent
