"""Providers switched on and off, and their weights: kept here, obeyed by the senders, who read them in Redis."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from imsg_auth.store import Store, Switch
from imsg_contract.topology import SWITCHES_COMPLETE, switches_key
from imsg_contract.wire import Change
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import Recurring, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script
from imsg_web.callers import Caller

log = logger(__name__)

EVERY_S = 2.0
"""How long senders may go by what was before: where Redis was flushed or away, or another auth wrote a moment ago."""

_WRITE = Script.of("""
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
""")


class ProviderSwitches:
    """Changes switches, with a record in the audit, and keeps Redis' copy as the table is."""

    def __init__(
        self,
        store: Store,
        redis: Redis,
        methods: Sequence[str],
        wake: Callable[[], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`wake` is told that the outbox holds something new."""
        self._store = store
        self._redis = redis
        self._methods = methods
        self._trouble = Recurring(log, "switches_not_published")
        self._wake = wake
        self._now = now

    async def change(self, caller: Caller, method: str, name: str, values: Mapping[str, Any]) -> Switch:
        """Change what is given; in force at the senders within seconds. Raises DatabaseUnavailable."""
        async with self._store.writing() as rows:
            switch = await rows.switch(method, name, values)
            change = Change(
                actor=caller.username,
                action="provider_switched",
                subject=f"{method}/{name}",
                details=dict(values),
                at=datetime.fromtimestamp(self._now(), UTC),
                actor_id=caller.user_id,
            )
            await rows.note(change.model_dump_json())
        self._wake()
        await self._mirror()
        return switch

    async def keep_mirrored(self) -> None:
        """Write Redis' copy wherever it is another, for ever."""
        while True:
            await self._mirror()
            await asyncio.sleep(EVERY_S)

    async def _mirror(self) -> None:
        try:
            async with self._store.reading() as rows:
                switches = await rows.switches()
            for method in self._methods:
                await self._redis.run(_WRITE, [switches_key(method)], _fields(switches, method))
        except (DatabaseUnavailable, RedisUnavailable, RedisRefused) as error:
            self._trouble.note(error)
        else:
            self._trouble.clear()


def _fields(switches: Sequence[Switch], method: str) -> list[str]:
    """Write a channel's switches as a hash, first what says that it is whole, and which."""
    written = {
        one.name: json.dumps({"enabled": one.enabled, "weight": one.weight}) for one in switches if one.method == method
    }
    digest = hashlib.sha256(repr(sorted(written.items())).encode()).hexdigest()[:16]
    return [SWITCHES_COMPLETE, digest, *(part for pair in written.items() for part in pair)]
