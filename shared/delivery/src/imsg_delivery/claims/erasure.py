"""Erases personal data from the claims: the providers' texts in the records of recipients."""

import re
from collections.abc import AsyncIterator, Iterable

from imsg_delivery.claims.scripts import load
from imsg_runtime.redis import Redis

_KEY = re.compile(r"imsg:ledger:([0-9a-f]{32})/[0-9]+")

AT_ONCE = 1_000
"""Keys that Redis examines in one step of a scan."""


async def chunks(redis: Redis) -> AsyncIterator[list[tuple[str, str]]]:
    """Yield batches of (key, request) of every chunk. Raises RedisUnavailable, RedisRefused."""
    cursor: bytes | int = 0
    while True:
        cursor, keys = await redis.call("SCAN", cursor, "MATCH", "imsg:ledger:*", "COUNT", AT_ONCE)
        batch = [(match[0], match[1]) for key in keys if (match := _KEY.fullmatch(key.decode()))]
        if batch:
            yield batch
        if int(cursor) == 0:
            return


async def strip(redis: Redis, key: str, ns: Iterable[int]) -> None:
    """Remove the providers' texts about recipients `ns` from a chunk. Raises RedisUnavailable, RedisRefused."""
    await redis.run(load("strip"), [key], list(ns))
