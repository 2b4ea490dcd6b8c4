"""Calls to Redis share round trips, scripts survive a flush, and a server that is away says so in time."""

import asyncio

import pytest

from imsg_shared.redis import RedisAway, RedisRefused, Script, connect

ADD = Script.of("return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def test_concurrent_calls_each_get_their_own_answer(valkey_url: str) -> None:
    """They share a pipeline, and one that fails does not touch its neighbours."""
    async with connect(valkey_url) as redis:
        await redis.call("DEL", "shared-pipeline")
        numbers = asyncio.gather(*(redis.call("INCR", "shared-pipeline") for _ in range(1000)))
        wrong = asyncio.gather(redis.call("HGET", "shared-pipeline", "x"), return_exceptions=True)
        assert sorted(await numbers) == list(range(1, 1001))
        assert isinstance((await wrong)[0], RedisRefused)


async def test_a_script_is_loaded_again_where_the_server_forgot_it(valkey_url: str) -> None:
    """A flush or a fail-over empties the script cache."""
    async with connect(valkey_url) as redis:
        await redis.call("DEL", "counted")
        assert await redis.run(ADD, ["counted"], [2]) == 2
        await redis.call("SCRIPT", "FLUSH")
        assert await redis.run(ADD, ["counted"], [3]) == 5


async def test_a_server_that_is_not_there_is_away(unused_tcp_port: int) -> None:
    """Said as RedisAway, so that callers can tell it from a bug."""
    async with connect(f"redis://127.0.0.1:{unused_tcp_port}/0") as redis:
        with pytest.raises(RedisAway):
            await redis.call("PING")


async def test_a_caller_that_leaves_does_not_take_others_along(valkey_url: str) -> None:
    """A cancelled request shares its pipeline with others that go on."""
    async with connect(valkey_url) as redis:
        leaving = asyncio.create_task(redis.call("PING"))
        staying = asyncio.create_task(redis.call("ECHO", "here"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == b"here"
        assert await redis.call("PING") in (b"PONG", True)


def test_a_script_is_named_by_its_sha1() -> None:
    """As SCRIPT LOAD names it."""
    assert Script.of("return 1").sha == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
