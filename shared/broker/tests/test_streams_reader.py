"""A reader's connection is closed whenever its consumer ends, a cancelled one too."""

import asyncio
import contextlib
import secrets

import pytest

from imsg_broker.redis_streams.reader import Reader
from imsg_runtime.redis import Redis
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.waiting import eventually


def make_reader(url: str, consumer: str) -> Reader:
    return Reader(url, "reading", "reading.returned", consumer)


async def no_connection_stays(redis: Redis, consumer: str) -> None:
    """Wait until the server has no connection of that name. Raises TimeoutError."""

    async def is_gone() -> bool:
        return consumer.encode() not in await redis.call("CLIENT", "LIST")

    await eventually(is_gone, 60)


async def test_a_close_that_is_cancelled_closes_all_the_same(valkey_url: str) -> None:
    consumer = secrets.token_hex(8)
    reader = make_reader(valkey_url, consumer)
    await reader.open()
    closing = asyncio.create_task(reader.close())
    await asyncio.sleep(0)  # it has begun
    closing.cancel()
    await asyncio.wait({closing})
    async with connect_redis(valkey_url) as redis:
        await no_connection_stays(redis, consumer)


@pytest.mark.parametrize("turns", [*range(0, 24, 2), 200])
async def test_a_connection_that_is_cancelled_while_it_is_made_is_closed(valkey_url: str, turns: int) -> None:
    consumer = secrets.token_hex(8)
    reader = make_reader(valkey_url, consumer)
    opening = asyncio.create_task(reader.open())
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await opening
    await reader.close()
    async with connect_redis(valkey_url) as redis:
        await no_connection_stays(redis, consumer)
