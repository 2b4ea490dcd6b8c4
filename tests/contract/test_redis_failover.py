"""Redis changes its master, by Sentinels or by hand: calls report it and find the new master."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import pytest

from imsg_runtime import redis_address
from imsg_runtime.redis import Redis, RedisUnavailable, Script, connect
from imsg_testing.sentinels import follow, watched
from imsg_testing.servers import Valkey

pytestmark = pytest.mark.release

WITHIN_S = 60.0
DOWN_AFTER_MS = 5_000
"""Longer than a busy machine stands still: else the Sentinels take a living master for dead."""
ADD = Script.of("return redis.call('INCRBY', KEYS[1], ARGV[1])")


async def succeeds(call: Callable[[], Awaitable[object]]) -> None:
    """Repeat a call until it succeeds."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            with contextlib.suppress(RedisUnavailable):
                await call()
                return
            await asyncio.sleep(0.05)


async def wait_for_writes(server: Redis, *, takes_writes: bool) -> None:
    """Wait until the probe reports that writes are accepted, or refused."""
    async with asyncio.timeout(WITHIN_S):
        while server.takes_writes is not takes_writes:  # noqa: ASYNC110  nothing tells when it turns
            await asyncio.sleep(0.05)


async def wait_for_replica(server: Redis) -> None:
    """Wait until the replica has all that was written so far."""
    async with asyncio.timeout(WITHIN_S):
        while await server.call("WAIT", 1, 1_000) < 1:
            pass


async def test_a_demoted_server_is_unavailable_and_found_again_once_it_is_promoted() -> None:
    """Commands and scripts alike; a read would go through, and a service that reads only would never notice."""
    with Valkey() as first, Valkey() as second:
        async with connect(first.url) as server:
            await server.call("SET", "a", 1)
            follow(first, second)
            with pytest.raises(RedisUnavailable, match="READONLY"):
                await server.call("SET", "a", 2)
            with pytest.raises(RedisUnavailable, match="READONLY"):
                await server.run(ADD, ["a"], [1])
            follow(first, None)
            await succeeds(lambda: server.run(ADD, ["a"], [1]))


async def test_the_probe_distinguishes_a_demoted_server_from_one_that_takes_writes() -> None:
    with Valkey() as first, Valkey() as second:
        async with connect(first.url) as server:
            watching = asyncio.create_task(server.watch())
            try:
                await wait_for_writes(server, takes_writes=True)
                follow(first, second)
                await wait_for_writes(server, takes_writes=False)
                follow(first, None)
                await wait_for_writes(server, takes_writes=True)
                first.kill()
                await wait_for_writes(server, takes_writes=False)
                first.start()
                await wait_for_writes(server, takes_writes=True)
            finally:
                watching.cancel()


async def test_a_call_among_others_that_meets_a_demoted_server_takes_no_reply_from_them() -> None:
    """What shares the round trip is answered, in order, and the next calls are on a connection of their own."""
    with Valkey() as first, Valkey() as second:
        async with connect(first.url) as server:
            await server.call("SET", "a", 7)
            follow(first, second)
            await asyncio.sleep(0.2)
            echoes = [server.call("ECHO", f"e{n}") for n in range(20)]
            said = await asyncio.gather(server.call("SET", "a", 2), *echoes, return_exceptions=True)
            assert isinstance(said[0], RedisUnavailable)
            assert said[1:] == [f"e{n}".encode() for n in range(20)]
            assert await server.call("ECHO", "after") == b"after"


async def test_the_sentinels_name_the_new_master_after_the_old_one_died() -> None:
    with watched(DOWN_AFTER_MS) as servers:
        async with connect(servers.url) as server:
            await server.call("SET", "kept", "yes")
            await wait_for_replica(server)
            servers.master.kill()
            with pytest.raises(RedisUnavailable):
                await server.call("SET", "kept", "no")
            await succeeds(lambda: server.call("SET", "new", 1))
            assert await server.call("GET", "kept") == b"yes"
            assert servers.master_port() == urlsplit(servers.replica.url).port
            servers.master.start()  # comes back as a replica, without writers
            await succeeds(lambda: server.call("INCR", "new"))


async def test_what_a_replica_lacks_after_a_failover_is_what_it_had_not_received() -> None:
    """Replication is asynchronous: an answered write may be gone, such as a claim or an idempotency key."""
    with watched(DOWN_AFTER_MS) as servers:
        async with connect(servers.url) as server:
            kept: set[int] = set()
            stopping = asyncio.Event()

            async def write_on(first: int) -> None:
                number = first
                while not stopping.is_set():
                    number += 8
                    try:
                        await server.call("SADD", "numbers", number)
                    except RedisUnavailable:
                        await asyncio.sleep(0.05)
                    else:
                        kept.add(number)

            async def more(count: int) -> None:
                goal = len(kept) + count
                async with asyncio.timeout(WITHIN_S):
                    while len(kept) < goal:  # noqa: ASYNC110  a set has no event for it
                        await asyncio.sleep(0.02)

            writing = [asyncio.create_task(write_on(n)) for n in range(8)]
            await more(3_000)
            received = set(kept)
            await wait_for_replica(server)
            await more(100)
            servers.master.kill()
            await more(200)
            stopping.set()
            await asyncio.gather(*writing)
            present = {int(number) for number in await server.call("SMEMBERS", "numbers")}
    assert received <= present


async def test_a_sentinel_that_is_gone_is_passed_over() -> None:
    with watched(DOWN_AFTER_MS) as servers:
        servers.sentinels[0].kill()
        async with connect(servers.url) as server:
            assert await server.call("SET", "a", 1) in (b"OK", True)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("amqp://localhost", "must begin with redis://"),
        ("redis+sentinel://h1,h2,h3", "names no master"),
        ("redis+sentinel:///imsg", "names no Sentinel"),
        ("redis+sentinel://h1:port/imsg", "has a host that can't be read: h1:port"),
        ("redis+sentinel://h1/imsg/first", "no number of a database"),
        ("redis+sentinel://h1/imsg?timeout=1", "holds what is unknown: timeout"),
    ],
)
def test_a_wrong_url_is_refused_with_the_reason(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("?", r"\?")):
        redis_address.read(url)


def test_a_url_of_sentinels_is_read_with_all_that_it_may_hold() -> None:
    url = "rediss+sentinel://u%40x:p%3Aq@h1,h2:26380,[::1]:26381/imsg-main/2?sentinel_password=s"
    found = redis_address.read(url)
    assert found is not None
    assert found.hosts == (("h1", 26_379), ("h2", 26_380), ("::1", 26_381))
    assert (found.name, found.db, found.username, found.password) == ("imsg-main", 2, "u@x", "p:q")
    assert (found.sentinel_username, found.sentinel_password, found.has_tls) == (None, "s", True)
    assert "p:q" not in repr(found)
