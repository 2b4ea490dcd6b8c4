"""What WeChat's console was last seen to send for an account: messages in plain, or encrypted ones."""

import asyncio
from collections.abc import Iterable

from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

REDIS_PATIENCE_S = 0.5

log = logger(__name__)


class Consoles:
    """Remembers it in Redis, for the next start and for `imsg doctor`, and writes only what has changed."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: dict[str, bool] = {}
        """Account → whether it sends plain."""

    async def note(self, account: str, *, is_plain: bool, is_taken: bool) -> None:
        """Note how a genuine message came, and warn of one that came plain where it might be encrypted."""
        if is_plain and not is_taken:
            log.warning("wechat_console_sends_plain", account=account, remedy=remedy([account]))
        if self._known.get(account) is is_plain:
            return
        command = ("SET", key(account), "1") if is_plain else ("DEL", key(account))
        try:
            async with asyncio.timeout(REDIS_PATIENCE_S):
                await self._redis.call(*command)
        except (RedisUnavailable, RedisRefused, TimeoutError) as error:
            log.warning("wechat_console_mode_not_recorded", account=account, why=str(error) or "Redis took too long")
        else:
            self._known[account] = is_plain

    async def plain(self, accounts: Iterable[str]) -> list[str]:
        """Name the accounts that were last seen to send plain. Raises RedisUnavailable, RedisRefused, TimeoutError."""
        named = list(accounts)
        async with asyncio.timeout(REDIS_PATIENCE_S):
            return [account for account in named if await self._redis.call("GET", key(account)) is not None]


def key(account: str) -> str:
    """Name the key."""
    return f"imsg:wechat:plain:{account}"


def remedy(accounts: Iterable[str]) -> str:
    """Say what is to be done."""
    settings = ", ".join(f"IMSG_WECHAT__ACCOUNTS__{account.upper()}__MODE=any" for account in accounts)
    return f"choose 安全模式 in WeChat's console, or set {settings}, which takes unencrypted messages too"
