"""Publishes a channel's names and addresses in Redis, by which the gateways check sends.

They are written repeatedly, since Redis may be flushed; without them the gateways accept any name and address.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from imsg_contract.topology import FOLLOWERS_COMPLETE, addresses_key, names_key
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script

EVERY_S = 10.0

Names = Mapping[str, Collection[str]]
"""A name → the users who may use it; empty: all."""

_REPLACE = Script.of("redis.call('DEL', KEYS[1]) redis.call('SADD', KEYS[1], unpack(ARGV)) return 1")

log = logger(__name__)


async def publish_names(redis: Redis, method: str, names: Mapping[str, Names]) -> None:
    """Publish the names that each field of a send may hold (`sender`, `reply_to`, `provider`). Never returns."""
    fields = [part for field, known in names.items() for part in (field, _write(known))]
    await _publish_for_ever(lambda: redis.call("HSET", names_key(method), *fields), "names", method)


async def publish_addresses(redis: Redis, method: str, addresses: Iterable[str]) -> None:
    """Publish all addresses of a channel, in their normal form. Never returns."""
    members = [FOLLOWERS_COMPLETE, *addresses]
    await _publish_for_ever(lambda: redis.run(_REPLACE, [addresses_key(method)], members), "addresses", method)


async def _publish_for_ever(publish: Callable[[], Awaitable[object]], what: str, method: str) -> None:
    problem = RecurringProblem(log, "directory_not_published", what=what, method=method)
    while True:
        with problem.catch(RedisUnavailable, RedisRefused):
            await publish()
        await asyncio.sleep(EVERY_S)


def _write(names: Names) -> str:
    return json.dumps({name: sorted(users) for name, users in names.items()}, ensure_ascii=False)
