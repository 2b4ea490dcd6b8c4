"""The nonces of processed calls, so that a replayed call is not processed again."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_wechat.receipts import NotPublished

FRESH_S = 300
"""The most difference between a time stamp and our clock. Other calls are refused, so nonces can expire."""

DONE_S = 2 * FRESH_S + 60
"""Longer than any time stamp is valid: it may be ahead of our clock by FRESH_S too."""

IN_WORK_S = 6
"""How long a call may take; WeChat closes the connection after 5 s."""

REDIS_TIMEOUT_S = 0.5

IN_WORK, DONE = b"in work", b"done"

log = logger(__name__)


class RepeatedCall(Exception):  # noqa: N818  not a failure
    """The call was processed before."""


class Nonces:
    """Records calls. Without Redis every call counts as new: processing a call twice does no harm."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._problem = RecurringProblem(log, "wechat_nonces_not_recorded", quiet_s=QUIET_S)

    @asynccontextmanager
    async def once(self, account: str, timestamp: str, nonce: str) -> AsyncIterator[None]:
        """Record the nonce of the call that the context processes; remove it if that raises.

        Raises RepeatedCall if the call was processed, NotPublished if it is in work, since it may yet fail.
        """
        key = f"imsg:wechat:nonce:{account}:{hashlib.sha256(f'{timestamp}:{nonce}'.encode()).hexdigest()}"
        if await self._call("SET", key, IN_WORK, "NX", "EX", IN_WORK_S, absent=False) is None:
            if await self._call("GET", key) == DONE:
                raise RepeatedCall
            raise NotPublished("the same call is in work")
        try:
            yield
        except BaseException:
            await self._call("DEL", key)
            raise
        await self._call("SET", key, DONE, "EX", DONE_S)

    async def _call(self, *command: str | bytes | int, absent: object = None) -> object:
        """Call Redis; return `absent` if it is unavailable."""
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                reply = await self._redis.call(*command)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            self._problem.report(error)
            return absent
        self._problem.clear()
        return reply
