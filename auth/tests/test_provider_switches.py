"""Providers' switches: kept in the database, copied to Redis, in the audit."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from imsg_auth.main import Settings
from imsg_auth.migrations import MIGRATIONS
from imsg_auth.provider_switches import ProviderSwitches
from imsg_auth.store import Store
from imsg_contract.topology import SWITCHES_COMPLETE, switches_key
from imsg_contract.wire import Change
from imsg_database.address import read_url
from imsg_database.database import connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_runtime.redis import Redis
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.callers import user
from imsg_testing.waiting import eventually

ADMIN = user("admin", role="admin")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Open a new database."""
    url = read_url(Settings(data_dir=tmp_path).store_url)
    await asyncio.to_thread(migrate, url, MIGRATIONS)
    async with connect(url, DatabaseOptions("imsg-auth")) as database:
        yield Store(database)


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Connect to a database of Valkey that only auth's tests use."""
    async with connect_redis(valkey_url.removesuffix("/0") + "/9") as redis:
        await redis.call("DEL", switches_key("sms"), switches_key("smtp"))
        yield redis


@pytest.fixture
def make(store: Store, redis: Redis) -> Callable[[], ProviderSwitches]:
    """Make an auth's switches; several share a database."""
    return lambda: ProviderSwitches(store, redis, ("sms", "smtp"), lambda: None)


async def read(redis: Redis, method: str) -> dict[str, str]:
    """Read Redis' copy."""
    flat = await redis.call("HGETALL", switches_key(method))
    pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    return {name.decode(): body.decode() for name, body in pairs}


async def test_a_change_is_kept_copied_and_noted_and_leaves_the_rest_as_it_was(
    make: Callable[[], ProviderSwitches], store: Store, redis: Redis
) -> None:
    switches = make()
    await switches.change(ADMIN, "sms", "aliyun", {"enabled": False})
    after = await switches.change(ADMIN, "sms", "aliyun", {"weight": 3})
    assert (after.enabled, after.weight) == (False, 3)
    copied = await read(redis, "sms")
    assert json.loads(copied["aliyun"]) == {"enabled": False, "weight": 3}
    assert list(await read(redis, "smtp")) == [SWITCHES_COMPLETE]
    async with store.writing() as rows:
        notes = [Change.model_validate_json(body) for _, body in (await rows.lease_audit_records(0, 60, 10)).values()]
    assert [(note.actor, note.action, note.target, note.before, note.after) for note in notes] == [
        ("admin", "provider_switched", "sms/aliyun", {"enabled": None}, {"enabled": False}),
        ("admin", "provider_switched", "sms/aliyun", {"weight": None}, {"weight": 3}),
    ]


async def test_a_flushed_redis_is_written_anew(make: Callable[[], ProviderSwitches], redis: Redis) -> None:
    await make().change(ADMIN, "sms", "aliyun", {"enabled": False})
    await redis.call("DEL", switches_key("sms"))
    task = asyncio.create_task(make().run())

    async def is_there() -> bool:
        return "aliyun" in await read(redis, "sms")

    try:
        await eventually(is_there)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
