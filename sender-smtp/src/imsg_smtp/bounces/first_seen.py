"""Records when a report without a plausible date first arrived, so that a repeat of it gets the same time."""

import hashlib
from datetime import UTC, datetime, timedelta

from imsg_runtime.redis import Redis
from imsg_smtp.bounces.report import Report

KEPT = timedelta(days=7)
"""How long a report is remembered: mail servers stop repeating a delivery after five days."""


class FirstSeen:
    """Stores the arrival times of reports in Redis, shared by all replicas. Raises RedisUnavailable, RedisRefused."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find(self, report: Report, message: str, now: datetime) -> datetime:
        """Return the time of the report's first arrival; `now` if this is the first. `message` is `REQUEST-N`."""
        identity = repr((message, report.kind.value, report.code, report.detail, report.recipient))
        key = f"imsg:smtp:bounces:seen:{hashlib.sha256(identity.encode(errors='replace')).hexdigest()}"
        now_ms = int(now.timestamp() * 1_000)
        if await self._redis.call("SET", key, now_ms, "NX", "EX", int(KEPT.total_seconds())) is not None:
            return datetime.fromtimestamp(now_ms / 1_000, UTC)
        first_ms = await self._redis.call("GET", key)
        return datetime.fromtimestamp(int(first_ms or now_ms) / 1_000, UTC)
