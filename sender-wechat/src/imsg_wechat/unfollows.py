"""Reports unfollows and returns of followers to the catalog, which suppresses former followers."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from imsg_contract.addresses import identity
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.topology import suppressed_key
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

METHOD = "wechat"

LIFT_TIMEOUT_S = 0.4
"""How long a return waits for the catalog: WeChat expects the greeting within 5 s."""

CHECK_EVERY_S = 0.02

log = logger(__name__)

Report = Callable[[Suppression], Awaitable[None]]
"""Publishes a suppression for the catalog, now or later; never raises."""


class Unfollows:
    """Reports unfollows and returns. The table of followers, not the list of suppressions, says who follows."""

    def __init__(self, report: Report, redis: Redis, lift_timeout_s: float = LIFT_TIMEOUT_S) -> None:
        self._report = report
        self._redis = redis
        self._lift_timeout_s = lift_timeout_s
        self._problem = RecurringProblem(log, "returns_not_seen", quiet_s=QUIET_S, level="info")

    async def leave(self, account: str, tag: str, at: int) -> None:
        """Report that the follower with this tag left the account."""
        await self._report(_make_suppression(account, tag, at, lifts=False))

    async def return_(self, account: str, tag: str, at: int) -> None:
        """Report a return, and wait until the catalog has lifted the suppression."""
        await self._report(_make_suppression(account, tag, at, lifts=True))
        with self._problem.catch(RedisUnavailable, RedisRefused, TimeoutError, account=account):
            async with asyncio.timeout(self._lift_timeout_s):
                while await self._is_listed(account, tag):  # noqa: ASYNC110  another service writes it
                    await asyncio.sleep(CHECK_EVERY_S)

    async def _is_listed(self, account: str, tag: str) -> bool:
        value = await self._redis.call("HGET", suppressed_key(METHOD), identity(tag))
        return value is not None and any(row[:2] == [Reason.UNSUBSCRIBE, account] for row in json.loads(value))


def _make_suppression(account: str, tag: str, at: int, *, lifts: bool) -> Suppression:
    return Suppression(
        method=METHOD,
        address=tag,
        reason=Reason.UNSUBSCRIBE,
        sender=account,
        evidence="follows the account again" if lifts else "has left the account",
        at=datetime.fromtimestamp(at, UTC),
        lifts=lifts,
    )
