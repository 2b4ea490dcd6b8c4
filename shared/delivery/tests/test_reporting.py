"""What the senders of a channel share in Redis: the providers' states, switches and shares."""

import asyncio
import json
import secrets
import time
from typing import Any

import pytest

from imsg_contract.results import Blocked, Sent
from imsg_contract.topology import SWITCHES_COMPLETE, providers_key, retry_after_key, switches_key
from imsg_delivery.provider_pool import ProviderPool
from imsg_delivery.reporting import Reporter
from imsg_delivery.routes import Route
from imsg_limits.pace import Pace, Rate, SharedPace
from imsg_limits.retry_after import RetryAfter
from imsg_runtime.redis import Redis, connect
from imsg_testing.waiting import eventually


@pytest.fixture
def method() -> str:
    """Return the name of a channel of this test's own."""
    return f"trial{secrets.token_hex(4)}"


async def test_a_process_reports_its_providers_and_obeys_their_switches_over_a_flush(redis: Redis, method: str) -> None:
    pool = ProviderPool(method, [Route("aliyun"), Route("tencent", weight=0)], time.monotonic)
    pool.all[0].stats.record(Sent("aliyun"))
    pool.all[0].stats.record(Blocked("aliyun", "aliyun", "no_money", "pay", 60.0, "account"))
    task = asyncio.create_task(Reporter(redis, pool, "a").watch())
    try:
        await eventually(lambda: _reports(redis, method))
        (body,) = (await _reports(redis, method)).values()
        aliyun, tencent = body["providers"]
        assert (aliyun["name"], aliyun["share"], aliyun["sent"]) == ("aliyun", 1.0, 1)
        assert [(block["concerns"], block["code"], block["detail"]) for block in aliyun["blocks"]] == [
            ("account", "no_money", "pay")
        ]
        assert (tencent["enabled"], tencent["weight"], tencent["last_error"]) == (True, 0, None)

        off = json.dumps({"enabled": False, "weight": None})
        await redis.call("HSET", switches_key(method), "aliyun", off, SWITCHES_COMPLETE, "1")
        await eventually(lambda: _is_off(pool))
        await redis.call("DEL", switches_key(method), providers_key(method))
        await eventually(lambda: _reports(redis, method))
        assert not pool.all[0].is_on, "until auth has written what holds"
        assert len(await _reports(redis, method)) == 1, "one field a process"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_whom_one_process_is_to_give_less_the_others_give_less_too(redis: Redis, method: str) -> None:
    first, second = RetryAfter(time.monotonic), RetryAfter(time.monotonic)
    first.set("aliyun", "+8613800138000", 600.0)
    assert 500 < first.wait_s("aliyun", "+8613800138000") <= 600
    await first.sync(redis, retry_after_key(method))
    await second.sync(redis, retry_after_key(method))
    assert 500 < second.wait_s("aliyun", "+8613800138000") <= 601
    assert second.wait_s("aliyun", "+8613800138001") == second.wait_s("aliyun") == 0.0
    (kept,) = await redis.call("HKEYS", retry_after_key(method))
    assert b"8613800138000" not in kept


async def test_two_processes_share_one_bucket(redis: Redis, method: str) -> None:
    rate = Rate(20, 6_000.0, 10)
    paces = [SharedPace(redis, method, rate, Pace(rate, time.monotonic)) for _ in range(2)]
    taken = [await paces[n % 2].acquire("ops", within_s=0) for n in range(12)]
    assert taken[:10] == [0.0] * 10
    assert all(400 < wait_s <= 6_000 / 11 for wait_s in taken[10:])
    assert await paces[0].acquire("other", within_s=0) == 0.0


async def test_without_redis_each_goes_by_its_own(method: str) -> None:
    rate = Rate(1, 600.0)
    async with connect("redis://127.0.0.1:1/0") as away:
        pace = SharedPace(away, method, rate, Pace(rate, time.monotonic))
        assert await pace.acquire("ops", within_s=0) == 0.0
        assert await pace.acquire("ops", within_s=0) > 500


async def _reports(redis: Redis, method: str) -> dict[str, dict[str, Any]]:
    flat = await redis.call("HGETALL", providers_key(method))
    pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    return {name.decode(): json.loads(body) for name, body in pairs}


async def _is_off(pool: ProviderPool) -> bool:
    return not pool.all[0].is_on
