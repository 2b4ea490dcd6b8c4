"""The pause switch: open while Redis answers and the channel is not paused; it publishes the channel's state."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from imsg_contract.results import Blocked
from imsg_contract.topology import channel_key
from imsg_delivery.claims.store import Claims
from imsg_delivery.pause import PauseSwitch
from imsg_runtime.redis import Redis
from imsg_testing.waiting import eventually

BLOCK = Blocked("relay", "mail.example.com", "535", "wrong password", after_s=60)


class Watch:
    """A clock that is set by hand."""

    now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def method() -> str:
    """Return the name of a channel of this test's own."""
    return f"trial{secrets.token_hex(4)}"


@asynccontextmanager
async def watching(redis: Redis, method: str, watch: Watch) -> AsyncIterator[PauseSwitch]:
    """Run a pause switch."""
    switch = PauseSwitch(redis, Claims(redis), method, watch)
    task = asyncio.create_task(switch.watch())
    try:
        yield switch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def read_state(redis: Redis, method: str) -> list[bytes | None]:
    """Read what others see of the channel."""
    reply: list[bytes | None] = await redis.call("HMGET", channel_key(method), "state", "why", "until")
    return reply


async def becomes(redis: Redis, method: str, state: bytes) -> None:
    """Wait for a state."""

    async def is_so() -> bool:
        return (await read_state(redis, method))[0] == state

    await eventually(is_so)


async def test_it_is_shut_until_redis_has_answered_and_shuts_on_a_pause(redis: Redis, method: str) -> None:
    async with watching(redis, method, Watch()) as switch:
        assert not switch.is_open
        await asyncio.wait_for(switch.wait_open(), 60)
        await redis.call("HSET", channel_key(method), "paused", "1")
        await asyncio.wait_for(switch.wait_closed(), 60)
        await redis.call("HSET", channel_key(method), "paused", "0")
        await asyncio.wait_for(switch.wait_open(), 60)


async def test_it_closes_at_once_when_a_call_finds_redis_unavailable(redis: Redis, method: str) -> None:
    async with watching(redis, method, Watch()) as switch:
        await asyncio.wait_for(switch.wait_open(), 60)
        switch.close("no answer")
        assert not switch.is_open
        await asyncio.wait_for(switch.wait_open(), 60)


async def test_a_block_is_published_with_its_end_and_its_end_is_published_too(redis: Redis, method: str) -> None:
    watch = Watch()
    async with watching(redis, method, watch) as switch:
        await becomes(redis, method, b"open")
        switch.block(BLOCK)
        await becomes(redis, method, b"blocked")
        _, why, until = await read_state(redis, method)
        now_s = int((await redis.call("TIME"))[0])
        assert why == b"mail.example.com: 535"
        assert until is not None
        assert 30 < datetime.fromisoformat(until.decode()).timestamp() - now_s <= 61
        assert switch.is_blocked
        watch.now += 63
        await becomes(redis, method, b"open")
        assert await read_state(redis, method) == [b"open", b"", b""]


async def test_another_worker_s_block_stands_until_it_is_over(redis: Redis, method: str) -> None:
    soon, past = "2999-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
    await redis.call("HSET", channel_key(method), "state", "blocked", "why", "other", "until", soon)
    async with watching(redis, method, Watch()) as switch:
        await asyncio.wait_for(switch.wait_open(), 60)
        assert (await read_state(redis, method))[0] == b"blocked"
        await redis.call("HSET", channel_key(method), "until", past)
        await becomes(redis, method, b"open")
