"""When a report without a believable date first came, so that the same report has the same time again."""

import hashlib
from datetime import UTC, datetime, timedelta

from imsg_runtime.redis import Redis
from imsg_smtp.bounces.report import Report

KEPT = timedelta(days=7)
"""For so long a report may be pushed again: mail servers give up after five days."""


class FirstSeen:
    """Remembers reports in Redis, for all replicas and sources. Raises RedisUnavailable, RedisRefused."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, report: Report, message: str, now: datetime) -> datetime:
        """Return when this report of a message came first; now, where it has not come before."""
        identity = repr((message, report.kind.value, report.code, report.detail, report.recipient))
        key = f"imsg:smtp:bounces:seen:{hashlib.sha256(identity.encode(errors='replace')).hexdigest()}"
        now_ms = int(now.timestamp() * 1_000)
        if await self._redis.call("SET", key, now_ms, "NX", "EX", int(KEPT.total_seconds())) is not None:
            return datetime.fromtimestamp(now_ms / 1_000, UTC)
        first_ms = await self._redis.call("GET", key)
        return datetime.fromtimestamp(int(first_ms or now_ms) / 1_000, UTC)
