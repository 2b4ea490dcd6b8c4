"""What the claims hold of people: the providers' words in their records, found and taken out of them."""

import re
from collections.abc import AsyncIterator, Iterable

from imsg_delivery.claims.scripts import load
from imsg_runtime.redis import Redis

_KEY = re.compile(r"imsg:ledger:([0-9a-f]{32})/[0-9]+")

AT_ONCE = 1_000
"""Keys that the server looks at in one step of a scan."""


async def chunks(redis: Redis) -> AsyncIterator[list[tuple[str, str]]]:
    """Yield every chunk's key with its request, some at a time. Raises RedisUnavailable, RedisRefused."""
    cursor: bytes | int = 0
    while True:
        cursor, keys = await redis.call("SCAN", cursor, "MATCH", "imsg:ledger:*", "COUNT", AT_ONCE)
        found = [(match[0], match[1]) for key in keys if (match := _KEY.fullmatch(key.decode()))]
        if found:
            yield found
        if int(cursor) == 0:
            return


async def strip(redis: Redis, key: str, ns: Iterable[int]) -> None:
    """Take the providers' words about some recipients out of a chunk. Raises RedisUnavailable, RedisRefused."""
    await redis.run(load("strip"), [key], list(ns))
