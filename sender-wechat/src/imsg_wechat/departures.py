"""Followers who leave and come back, told to the catalog: whoever has left stands on its list."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from imsg_contract.addresses import identity
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.topology import suppressed_key
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

METHOD = "wechat"

LIFT_PATIENCE_S = 0.4
"""How long whoever comes back waits for the list to know: the greeting is due within 5 s, a message may follow it."""

LOOK_EVERY_S = 0.02

log = logger(__name__)

Tell = Callable[[Suppression], Awaitable[None]]
"""Has the catalog hear of it, sooner or later; raises nothing."""


class Departures:
    """Tells of them. The table of followers decides all the same: to who has left nothing is sent."""

    def __init__(self, tell: Tell, redis: Redis) -> None:
        self._tell = tell
        self._redis = redis

    async def leave(self, account: str, tag: str, at: int) -> None:
        """Say that whoever has a tag wants nothing more of the account."""
        await self._tell(_make(account, tag, at, lifts=False))

    async def come_back(self, account: str, tag: str, at: int) -> None:
        """Take it back, and wait a little until senders read so: else the next message would fail by it."""
        await self._tell(_make(account, tag, at, lifts=True))
        try:
            async with asyncio.timeout(LIFT_PATIENCE_S):
                while await self._is_listed(account, tag):  # noqa: ASYNC110  another service writes it
                    await asyncio.sleep(LOOK_EVERY_S)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            log.info("return_not_seen", account=account, why=str(error) or "the catalog took too long")

    async def _is_listed(self, account: str, tag: str) -> bool:
        value = await self._redis.call("HGET", suppressed_key(METHOD), identity(tag))
        return value is not None and any(one[:2] == [Reason.UNSUBSCRIBE, account] for one in json.loads(value))


def _make(account: str, tag: str, at: int, *, lifts: bool) -> Suppression:
    return Suppression(
        method=METHOD,
        address=tag,
        reason=Reason.UNSUBSCRIBE,
        sender=account,
        evidence="follows the account again" if lifts else "has left the account",
        at=datetime.fromtimestamp(at, UTC),
        lifts=lifts,
    )
