"""Accounts that auth has copied to Redis: read with the channel's key alone, and applied until that works."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from imsg_contract.provider_accounts import (
    CALLS,
    MIRROR,
    PURPOSE,
    ProviderAccount,
    ProviderCall,
    ProviderCheck,
    ProviderMirror,
)
from imsg_contract.topology import accounts_key, provider_answers_key, provider_calls_key
from imsg_delivery.provider_accounts import ProviderAccounts
from imsg_runtime.redis import Redis, connect
from imsg_runtime.sealing import Sealer
from imsg_testing.waiting import eventually

KEY = (SecretStr(secrets.token_hex(32)),)
OFFICE = ProviderAccount(name="office", kind="smtp", settings={"password": "battery staple"})


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Connect to a database of Valkey of this file's own."""
    async with connect(valkey_url.removesuffix("/0") + "/8") as redis:
        await redis.call("FLUSHDB")
        yield redis


async def write(redis: Redis, version: str, *accounts: ProviderAccount) -> None:
    """Write what auth writes."""
    text = ProviderMirror(accounts=accounts).model_dump_json()
    sealed = Sealer(KEY, PURPOSE).seal(text, f"{MIRROR} smtp")
    await redis.call("HSET", accounts_key("smtp"), "version", version, "sealed", sealed)


async def answer(call: ProviderCall) -> ProviderCheck:
    """Fail: these tests make no calls."""
    raise AssertionError(call)


async def test_a_change_is_read_once_and_a_flushed_redis_changes_nothing(redis: Redis) -> None:
    accounts = ProviderAccounts(redis, "smtp", KEY)
    assert await accounts.read() is None
    await write(redis, "1", OFFICE)
    assert await accounts.read() == ProviderMirror(accounts=(OFFICE,))
    assert await accounts.read() is None
    await redis.call("FLUSHDB")
    assert await accounts.read() is None
    await write(redis, "2")
    assert await accounts.read() == ProviderMirror()


async def test_another_key_or_channel_reads_nothing(redis: Redis) -> None:
    await write(redis, "1", OFFICE)
    assert await ProviderAccounts(redis, "smtp", (SecretStr(secrets.token_hex(32)),)).read() is None
    sealed = await redis.call("HGET", accounts_key("smtp"), "sealed")
    await redis.call("HSET", accounts_key("sms"), "version", "1", "sealed", sealed)
    assert await ProviderAccounts(redis, "sms", KEY).read() is None
    assert b"battery" not in sealed


async def test_what_could_not_be_applied_is_tried_again(redis: Redis) -> None:
    await write(redis, "1", OFFICE)
    tried: list[ProviderMirror] = []

    async def apply(accounts: ProviderMirror) -> bool:
        tried.append(accounts)
        return len(tried) > 1

    async def is_tried_again() -> bool:
        return len(tried) > 1

    watching = asyncio.create_task(ProviderAccounts(redis, "smtp", KEY).watch(apply, answer))
    try:
        await eventually(is_tried_again, within_s=60)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert tried == [ProviderMirror(accounts=(OFFICE,))] * 2


async def test_a_call_of_a_later_version_is_passed_over_and_the_next_one_is_answered(redis: Redis) -> None:
    known = ProviderCall(what="dns", name="example.com", accounts=(), at=time.time()).model_dump_json()
    for number, text in (("1", known.replace('"dns"', '"later"')), ("2", known)):
        await redis.call(
            "HSET", provider_calls_key("smtp"), number, Sealer(KEY, PURPOSE).seal(text, f"{CALLS} {number}")
        )

    async def apply(_: ProviderMirror) -> bool:
        return True

    async def answer_any(_: ProviderCall) -> ProviderCheck:
        return ProviderCheck()

    async def is_answered() -> bool:
        return bool(await redis.call("HKEYS", provider_answers_key("smtp")) == [b"2"])

    watching = asyncio.create_task(ProviderAccounts(redis, "smtp", KEY).watch(apply, answer_any))
    try:
        await eventually(is_answered, within_s=60)
        assert not watching.done()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
