"""The addresses that a channel has, told to the gateways again and again: Redis may be emptied meanwhile."""

import asyncio
from collections.abc import Iterable

from imsg_contract.topology import FOLLOWERS_COMPLETE, addresses_key
from imsg_runtime.logs import Recurring, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script

EVERY_S = 10.0
"""How long the gateways may lack them, and let everybody pass, after Redis was emptied."""

_REPLACE = Script.of("redis.call('DEL', KEYS[1]) redis.call('SADD', KEYS[1], unpack(ARGV)) return 1")

log = logger(__name__)


async def publish_addresses(redis: Redis, method: str, addresses: Iterable[str]) -> None:
    """Publish all addresses of a channel, in their normal form, for as long as we live."""
    members = [FOLLOWERS_COMPLETE, *addresses]
    trouble = Recurring(log, "addresses_not_published", method=method)
    while True:
        try:
            await redis.run(_REPLACE, [addresses_key(method)], members)
        except (RedisUnavailable, RedisRefused) as error:
            trouble.note(error)
        else:
            trouble.clear()
        await asyncio.sleep(EVERY_S)
