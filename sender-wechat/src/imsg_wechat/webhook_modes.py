"""The mode of each account in WeChat's console, as the last call showed it: plain or encrypted messages."""

import asyncio
from collections.abc import Iterable

from imsg_runtime.lines import fill
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

REDIS_TIMEOUT_S = 0.5

log = logger(__name__)


class WebhookModes:
    """Keeps the modes in Redis for the next start and for `imsg doctor`; writes only changes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._problem = RecurringProblem(log, "wechat_console_mode_not_recorded", quiet_s=QUIET_S)
        self._seen: dict[str, bool] = {}
        """Account → whether its last message was plain."""
        self._known: dict[str, bool] = {}
        """The recorded form of the mode."""

    async def record(self, account: str, *, is_plain: bool, is_accepted: bool) -> None:
        """Record the mode of a genuine message, and warn about a refused plain one."""
        if self._seen.get(account) is not is_plain:
            self._seen[account] = is_plain
            if is_plain and not is_accepted:
                log.warning("wechat_console_sends_plain", account=account, remedy=remedy([account]))
        if self._known.get(account) is is_plain:
            return
        command = ("SET", key(account), "1") if is_plain else ("DEL", key(account))
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                await self._redis.call(*command)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            self._problem.report(error, account=account)
        else:
            self._problem.clear()
            self._known[account] = is_plain

    async def find_plain(self, accounts: Iterable[str]) -> list[str]:
        """Return the accounts whose messages are plain. Raises RedisUnavailable, RedisRefused, TimeoutError."""
        async with asyncio.timeout(REDIS_TIMEOUT_S):
            return [account for account in accounts if await self._redis.call("GET", key(account)) is not None]


def key(account: str) -> str:
    """Return the Redis key that is set while an account's messages are plain."""
    return f"imsg:wechat:plain:{account}"


def remedy(accounts: Iterable[str]) -> str:
    """Return the remedy for plain messages, for administrators."""
    settings = ", ".join(f"IMSG_WECHAT__ACCOUNTS__{account.upper()}__MODE=any" for account in accounts)
    return fill("Choose 安全模式 in WeChat's console, or set {0}, which accepts unencrypted messages too.", settings)
