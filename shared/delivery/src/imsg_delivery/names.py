"""The names that a send may use of a channel, told to the gateways again and again: Redis may be emptied meanwhile."""

import asyncio
import json
from collections.abc import Collection, Mapping

from imsg_contract.topology import names_key
from imsg_runtime.logs import Recurring, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

EVERY_S = 10.0
"""How long the gateways may lack them, and take any name, after Redis was emptied."""

Names = Mapping[str, Collection[str]]
"""A name → the users who may use it; empty: all."""

log = logger(__name__)


async def publish_names(redis: Redis, method: str, names: Mapping[str, Names]) -> None:
    """Publish all names that a field of a send may hold (`sender`, `reply_to`, `provider`), for as long as we live."""
    told = [part for field, known in names.items() for part in (field, _write(known))]
    trouble = Recurring(log, "names_not_published", method=method)
    while True:
        try:
            await redis.call("HSET", names_key(method), *told)
        except (RedisUnavailable, RedisRefused) as error:
            trouble.note(error)
        else:
            trouble.clear()
        await asyncio.sleep(EVERY_S)


def _write(names: Names) -> str:
    return json.dumps({name: sorted(users) for name, users in names.items()}, ensure_ascii=False)
