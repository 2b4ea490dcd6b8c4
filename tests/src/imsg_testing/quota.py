"""Users whose requests are charged, and a quota whose clock the test sets."""

import secrets
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from imsg_contract.topology import QUOTAS_OF_ALL, user_key
from imsg_limits.quota import (
    PER_DAY,
    PER_HOUR,
    RECIPIENTS_PER_DAY,
    Charged,
    Cost,
    Exhausted,
    Quota,
    QuotaRow,
    encode_rows,
    encode_user_rows,
)
from imsg_runtime.redis import Redis
from imsg_testing.quiet_zone import find_quiet_zone

SHANGHAI = ZoneInfo("Asia/Shanghai")
QUIET = ZoneInfo(find_quiet_zone())
"""The zone of quotas that are counted by the server's clock."""

ID = "0193" + "a" * 28
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The id of a cached user, and when it was registered."""


def encode_limits(per_hour: int, per_day: int, recipients_per_day: int | None, *rows: QuotaRow) -> str:
    """Encode the document's quotas, and others, as auth caches them."""
    limits = {PER_HOUR: per_hour, PER_DAY: per_day, RECIPIENTS_PER_DAY: recipients_per_day}
    documented = [row._replace(limit=limit) for row, limit in limits.items() if limit is not None]
    return encode_user_rows((*documented, *rows))


async def cache_quotas_of_all(redis: Redis, *rows: QuotaRow) -> None:
    """Write the installation's quotas as auth does."""
    await redis.call("SET", QUOTAS_OF_ALL, encode_rows(rows))


async def cache_user(
    redis: Redis,
    name: str,
    revoked: str = "never",
    *,
    per_hour: int = 5,
    per_day: int = 20,
    recipients_per_day: int | None = None,
    rows: tuple[QuotaRow, ...] = (),
    **fields: str | int,
) -> None:
    """Write a user into the cache, with the defaults of a new user; the installation has no quotas unless it has."""
    usual: dict[str, str | int] = {
        "epoch": 1, "role": "user", "available": 1,
        "quotas": encode_limits(per_hour, per_day, recipients_per_day, *rows), "id": ID, "since": 0,
        "may_send_codes": 1, "events": 0, "senders": "*", "sms_countries": "*", "default_category": "notice",
        "department": "",
        f"revoked:{revoked}": 99,
    }  # fmt: skip
    pairs = (usual | fields).items()
    await redis.call("DEL", user_key(name))
    await redis.call("HSET", user_key(name), *(part for pair in pairs for part in pair))
    await redis.call("SET", QUOTAS_OF_ALL, "", "NX")


async def charge(quota: Quota, name: str, recipients: int = 1) -> Charged:
    """Charge what must pass."""
    answer = await quota.charge(name, "nonce", 1, ID, Cost(recipients))
    assert isinstance(answer, Charged), answer
    return answer


async def exhaust(quota: Quota, name: str, recipients: int = 1) -> Exhausted:
    """Charge what must not pass."""
    answer = await quota.charge(name, "nonce", 1, ID, Cost(recipients))
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
