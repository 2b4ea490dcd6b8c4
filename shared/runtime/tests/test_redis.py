"""Calls to Redis share round trips, scripts survive a flush, and an unavailable server is reported in time."""

import asyncio
from typing import Any

import pytest
import redis.asyncio

from imsg_runtime.redis import Read, Redis, RedisRefused, RedisUnavailable, Script, connect
from imsg_testing.waiting import eventually

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
    """A connection that raises what it should not when it is made first."""

    def __init__(self, errors: list[BaseException], **named: Any) -> None:  # noqa: ANN401  redis' own
        super().__init__(**named)
        self._errors = errors

    async def connect(self) -> None:
        """Connect, but for the first time."""
        if self._errors:
            await asyncio.sleep(0)
            raise self._errors.pop()
        await super().connect()  # type: ignore[no-untyped-call]


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
async def test_a_broken_call_ends_every_wait(valkey_url: str, error: BaseException) -> None:
    """Neither who shares the pipeline nor who waits for the next; and the next call works."""
    pool = redis.asyncio.ConnectionPool.from_url(valkey_url, connection_class=Breaking, errors=[error])
    async with redis.asyncio.Redis.from_pool(pool) as client:
        calls = Redis(client)
        shared = [asyncio.create_task(calls.call("PING")) for _ in range(300)]
        async with asyncio.timeout(60):
            answers = await asyncio.gather(*shared, return_exceptions=True)
            assert isinstance(answers[0], RedisUnavailable)
            assert all(isinstance(answer, RedisUnavailable) or answer in (b"PONG", True) for answer in answers)
            assert await calls.call("ECHO", "on") == b"on"


def test_a_script_is_named_by_its_sha1() -> None:
    """As SCRIPT LOAD names it."""
    assert Script.of("return 1").sha == "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"


async def test_what_waits_at_the_end_opens_no_connection_after_it(valkey_url: str) -> None:
    """A call that its caller gave up waits behind one that is not answered yet."""
    async with connect(valkey_url) as redis:
        await redis.call("PING")
        calls = []
        for command in (("BLPOP", "nothing comes here", 0.2), ("PING",)):
            calls.append(asyncio.create_task(redis.call(*command)))
            for _ in range(3):
                await asyncio.sleep(0)
        for call in calls:
            call.cancel()
    await asyncio.sleep(0)
    assert redis._opening is None


async def test_a_connection_that_is_lost_is_made_anew(valkey_url: str) -> None:
    """Idle or in the middle of a call, which is unavailable then; and closing leaves nothing behind."""
    async with connect(valkey_url) as redis, connect(valkey_url) as other:
        await redis.call("CLIENT", "SETNAME", "ours")
        ours = await redis.call("CLIENT", "ID")
        assert await other.call("CLIENT", "KILL", "ID", ours) == 1
        await eventually(lambda: can_call(redis))
        assert await redis.call("CLIENT", "ID") > ours

        waiting = asyncio.create_task(redis.call("BLPOP", "nothing-comes", 0))
        await eventually(lambda: is_blocked(other))
        blocked = next(line for line in await clients(other) if "cmd=blpop" in line)
        await other.call("CLIENT", "KILL", "ID", blocked.partition("id=")[2].partition(" ")[0])
        with pytest.raises(RedisUnavailable):
            await waiting
        assert await redis.call("ECHO", "again") == b"again"


async def clients(redis: Redis) -> list[str]:
    """List who is connected."""
    told = await redis.call("CLIENT", "LIST")
    return (told.decode() if isinstance(told, bytes) else str(told)).splitlines()


async def is_blocked(redis: Redis) -> bool:
    """Return whether a client is blocked by BLPOP."""
    return any("cmd=blpop" in line for line in await clients(redis))


async def can_call(redis: Redis) -> bool:
    """Return whether a call succeeds."""
    try:
        return bool(await redis.call("ECHO", "there") == b"there")
    except RedisUnavailable:
        return False


async def test_a_call_that_is_not_answered_in_time_is_given_up(valkey_url: str) -> None:
    """Who came behind it is answered over a new connection, which waits long enough."""
    async with connect(valkey_url) as redis:
        await redis.call("ECHO", "connected")
        pipe = redis._pipe
        assert pipe is not None
        assert pipe._timer is not None
        pipe._timer.cancel()
        pipe._timer, pipe._timeout_s = None, 0.1
        first = asyncio.create_task(redis.call("BLPOP", "nothing-comes", 0))
        for _ in range(3):  # until it is written
            await asyncio.sleep(0)
        behind = asyncio.create_task(redis.call("ECHO", "behind"))
        with pytest.raises(RedisUnavailable):
            await first
        assert (await asyncio.gather(behind, return_exceptions=True))[0] == b"behind"
        assert await redis.call("ECHO", "on") == b"on"


async def test_a_call_waits_anew_where_this_process_stood_still(valkey_url: str) -> None:
    """With the machine, on which Redis could not answer either; once."""
    async with connect(valkey_url) as redis:
        await redis.call("ECHO", "connected")
        pipe = redis._pipe
        assert pipe is not None
        waiting = asyncio.create_task(redis.call("BLPOP", "nothing-comes", 0))
        for _ in range(3):  # until it is written
            await asyncio.sleep(0)
        for is_open in (True, False):
            pipe._batches[0].written_at -= 3_600
            pipe._timer_at -= 3_600
            pipe._check_timeout()
            assert pipe.is_open is is_open
        with pytest.raises(RedisUnavailable):
            await waiting
