"""Calls to Redis share round trips, scripts survive a flush, and a server that is away says so in time."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
import redis.asyncio

from imsg_runtime.redis import Read, Redis, RedisRefused, RedisUnavailable, Script, connect

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


async def test_a_command_right_after_a_script_sees_what_the_script_did(valkey_url: str) -> None:
    """Also where the script has to be loaded first."""
    async with connect(valkey_url) as redis:
        await redis.call("DEL", "counted")
        await redis.call("SCRIPT", "FLUSH")
        assert await redis.run_and_read(ADD, ["counted"], [2], [Read("GET", "counted")]) == (2, [b"2"])
        assert await redis.run_and_read(ADD, ["counted"], [3], [Read("GET", "counted")]) == (5, [b"5"])
        with pytest.raises(RedisRefused):
            await redis.run_and_read(ADD, ["counted"], ["x"], [Read("GET", "counted")])
        with pytest.raises(RedisRefused):
            await redis.run_and_read(ADD, ["counted"], [1], [Read("HGET", "counted", ["x"])])


async def test_a_server_that_is_not_there_is_away(reserved_port: int) -> None:
    """Said as RedisUnavailable, so that callers can tell it from a bug."""
    async with connect(f"redis://127.0.0.1:{reserved_port}/0") as redis:
        with pytest.raises(RedisUnavailable):
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


class Breaking(redis.asyncio.Connection):
    """A connection whose first PINGs raise what they should not."""

    def __init__(self, errors: list[BaseException], **named: Any) -> None:  # noqa: ANN401  redis' own
        super().__init__(**named)
        self._errors = errors

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:  # noqa: FBT001, FBT002  its own form
        """Write, but for the first time."""
        if self._errors and b"PING" in command:
            await asyncio.sleep(0)
            raise self._errors.pop()
        await super().send_packed_command(command, check_health)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),  # uvloop's
        asyncio.CancelledError(),
        AttributeError("a bug of the library's"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_nobody_waits_for_ever_for_a_call_that_broke(valkey_url: str, error: BaseException) -> None:
    """Neither who shares the pipeline nor who waits for the next; and the next call works."""
    pool = redis.asyncio.ConnectionPool.from_url(valkey_url, connection_class=Breaking, errors=[error])
    async with redis.asyncio.Redis.from_pool(pool) as client:
        calls = Redis(client)
        shared = [asyncio.create_task(calls.call("PING")) for _ in range(300)]
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*shared, return_exceptions=True)
            assert isinstance(answers[0], RedisUnavailable)
            assert all(isinstance(answer, RedisUnavailable) or answer in (b"PONG", True) for answer in answers)
            assert await calls.call("ECHO", "on") == b"on"


def test_a_script_is_named_by_its_sha1() -> None:
    """As SCRIPT LOAD names it."""
    assert Script.of("return 1").sha == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"
