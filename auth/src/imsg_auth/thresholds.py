"""Events of quotas that are nearly or wholly used up: marked by the step that charges, published by the outbox."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from imsg_auth.rows.users import User
from imsg_auth.store import Store
from imsg_contract.topology import EVENT, THRESHOLDS, user_key
from imsg_contract.wire import Event, Events
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

INTERVAL_S = 1.0

BATCH = 100


class Mark(NamedTuple):
    """A quota that came to a percentage, as `imsg_limits.quota` marks it."""

    percent: int
    scope: str
    """`user` or `all`."""
    user_id: str
    quota: str
    limit: int
    period: str
    username: str
    """Of the request that was charged."""

    @classmethod
    def read(cls, line: bytes) -> "Mark":
        """Read a line of Redis."""
        percent, scope, user_id, quota, limit, period, key = line.decode().split(" ", 6)
        return cls(int(percent), scope, user_id, quota, int(limit), period, key.removeprefix(user_key("")))

    def make_event(self, username: str, user_id: str, at: datetime) -> Event:
        """Return the event for a user; that of the same percentage in the same period has the same id."""
        what = f"{user_id} {self.scope} {self.quota} {self.period} {self.percent}"
        data = {"quota": self.quota, "percent": self.percent, "limit": self.limit, "scope": self.scope}
        name = f"evt_{hashlib.sha256(what.encode()).hexdigest()[:32]}"
        return Event(id=name, type="quota.threshold", at=at, username=username, user_id=user_id, data=data)


class Thresholds:
    """Adds the marks to the outbox: a user's quota for the user, one of the installation for all administrators."""

    def __init__(
        self, store: Store, redis: Redis, wake: Callable[[], None], now: Callable[[], float] = time.time
    ) -> None:
        """`wake` is called when the outbox holds a new event."""
        self._store = store
        self._redis = redis
        self._wake = wake
        self._now = now
        self._problem = RecurringProblem(log, "thresholds_not_published")

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            with self._problem.catch(DatabaseUnavailable, RedisUnavailable, RedisRefused):
                while await self.publish():
                    pass
            await asyncio.sleep(INTERVAL_S)

    async def publish(self) -> int:
        """Publish one batch and return its size: kept in the outbox before it is removed from Redis."""
        lines: Sequence[bytes] = await self._redis.call("LRANGE", THRESHOLDS, 0, BATCH - 1)
        if not lines:
            return 0
        at = datetime.fromtimestamp(self._now(), UTC)
        async with self._store.writing() as rows:
            administrators: Sequence[User] = await rows.list_administrators()
            for mark in map(Mark.read, lines):
                people = (
                    [(mark.username, mark.user_id)]
                    if mark.scope == "user"
                    else [(user.username, user.id) for user in administrators]
                )
                events = tuple(mark.make_event(username, user_id, at) for username, user_id in people)
                await rows.add_audit_record(Events(events=events).model_dump_json(), EVENT)
        self._wake()
        for line in lines:
            await self._redis.call("LREM", THRESHOLDS, 1, line)
        return len(lines)
