"""Users whose requests are charged, and a quota whose clock the test sets."""

import secrets
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from imsg_contract.topology import user_key
from imsg_limits.quota import Charged, Exhausted, Quota
from imsg_runtime.redis import Redis

SHANGHAI = ZoneInfo("Asia/Shanghai")

ID = "0193" + "a" * 28
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The id of a cached user, and when it was registered."""


async def cache_user(redis: Redis, name: str, revoked: str = "never", **fields: str | int) -> None:
    """Write a user into the cache, with the defaults of a new user."""
    usual: dict[str, str | int] = {
        "epoch": 1, "role": "user", "available": 1, "per_hour": 5, "per_day": 20, "recipients_per_day": "",
        "id": ID, "since": 0, "may_send_codes": 1, "events": 0, "senders": "*",
        f"revoked:{revoked}": 99,
    }  # fmt: skip
    pairs = (usual | fields).items()
    await redis.call("DEL", user_key(name))
    await redis.call("HSET", user_key(name), *(part for pair in pairs for part in pair))


async def charge(quota: Quota, name: str, recipients: int = 1) -> Charged:
    """Charge what must pass."""
    answer = await quota.charge(name, "nonce", 1, recipients, ID)
    assert isinstance(answer, Charged), answer
    return answer


async def exhaust(quota: Quota, name: str, recipients: int = 1) -> Exhausted:
    """Charge what must not pass."""
    answer = await quota.charge(name, "nonce", 1, recipients, ID)
    assert isinstance(answer, Exhausted), answer
    return answer


class Clockwork:
    """A quota whose server clock the test sets: its time is read from a key in the same script."""

    def __init__(self, redis: Redis, zone: str) -> None:
        self._redis = redis
        self._key = f"clock:{secrets.token_hex(4)}"
        self._at = 0.0
        self.zone = ZoneInfo(zone)
        clock = f"tonumber(redis.call('GET', '{self._key}'))"
        self.quota = Quota(redis, self.zone, now=lambda: self._at, clock=clock, elapsed=None)

    async def set(self, at: datetime) -> None:
        """Set the clock."""
        self._at = at.timestamp()
        await self._redis.call("SET", self._key, int(self._at))

    async def go(self, local: str, fold: int = 0) -> None:
        """Set the clock by the zone's wall clock, such as `2026-10-25 02:30` (fold 1: the second time it is so)."""
        await self.set(datetime.fromisoformat(local).replace(tzinfo=self.zone, fold=fold))
