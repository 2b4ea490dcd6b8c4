"""Switches of providers, and their weights: stored by auth, and copied to Redis, where senders read them."""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from imsg_auth.rows.providers import Switch
from imsg_auth.store import Store
from imsg_contract.topology import SWITCHES_COMPLETE, switches_key
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script
from imsg_web.audit import make_change
from imsg_web.callers import Caller

log = logger(__name__)

INTERVAL_S = 2.0
"""How often the copy in Redis is compared with the table, in case Redis was flushed or another auth wrote."""

_WRITE = Script.of("""
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
""")


class ProviderSwitches:
    """Changes switches, with an audit record, and keeps the copy in Redis up to date."""

    def __init__(
        self,
        store: Store,
        redis: Redis,
        methods: Sequence[str],
        wake: Callable[[], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`wake` is called when the outbox holds a new record."""
        self._store = store
        self._redis = redis
        self._methods = methods
        self._problem = RecurringProblem(log, "switches_not_published")
        self._wake = wake
        self._now = now

    async def change(self, caller: Caller, method: str, name: str, values: Mapping[str, Any]) -> Switch:
        """Change a switch; senders obey it within seconds. Raises DatabaseUnavailable."""
        async with self._store.writing() as rows:
            known, switch = await rows.change_switch(method, name, values)
            at = datetime.fromtimestamp(self._now(), UTC)
            before, after = ({field: getattr(row, field) for field in values} for row in (known, switch))
            change = make_change(caller, "provider_switched", f"{method}/{name}", at, before=before, after=after)
            await rows.add_audit_record(change.model_dump_json())
        self._wake()
        await self._publish()
        return switch

    async def run(self) -> None:
        """Update the copy in Redis every INTERVAL_S until cancelled."""
        while True:
            await self._publish()
            await asyncio.sleep(INTERVAL_S)

    async def _publish(self) -> None:
        with self._problem.catch(DatabaseUnavailable, RedisUnavailable, RedisRefused):
            async with self._store.reading() as rows:
                switches = await rows.list_switches()
            for method in self._methods:
                await self._redis.run(_WRITE, [switches_key(method)], _make_hash(switches, method))


def _make_hash(switches: Sequence[Switch], method: str) -> list[str]:
    """Make the fields of a channel's hash; the first one says that it is complete, and holds its digest."""
    by_name = {
        switch.name: json.dumps({"enabled": switch.enabled, "weight": switch.weight})
        for switch in switches
        if switch.method == method
    }
    digest = hashlib.sha256(repr(sorted(by_name.items())).encode()).hexdigest()[:16]
    return [SWITCHES_COMPLETE, digest, *(part for pair in by_name.items() for part in pair)]
