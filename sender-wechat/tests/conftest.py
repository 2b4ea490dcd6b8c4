"""Followers on a SQLite of the test's own, and a corner of Valkey."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from imsg_contract.addresses import make_tag
from imsg_database import database
from imsg_database.address import read_url
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_runtime.redis import Redis, connect
from imsg_wechat.followers import Followers
from imsg_wechat.migrations import MIGRATIONS
from imsg_wechat.store import Store

ACCOUNTS = ("main", "other")

BOUNDS = (
    "imsg_wechat.hooks.ANSWER_WITHIN_S",
    "imsg_wechat.nonces.IN_WORK_S",
    "imsg_wechat.nonces.REDIS_TIMEOUT_S",
    "imsg_wechat.webhook.BROKER_TIMEOUT_S",
    "imsg_wechat.webhook.REDIS_TIMEOUT_S",
    "imsg_wechat.webhook.STORE_TIMEOUT_S",
    "imsg_wechat.webhook_modes.REDIS_TIMEOUT_S",
)


@pytest.fixture(autouse=True)
def _patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait long for a database or a Redis that is there, as WeChat would not: the machine may stand still."""
    for name in () if "service_bounds" in request.fixturenames else BOUNDS:
        monkeypatch.setattr(name, 60)


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Connect to a database of Valkey, emptied."""
    async with connect(valkey_url.removesuffix("/0") + f"/{1 + secrets.randbelow(15)}") as redis:
        await redis.call("FLUSHDB")
        yield redis


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """Open an empty table."""
    random = Random(7)  # noqa: S311  no secret
    url = read_url(f"sqlite:///{tmp_path / 'wechat.db'}")
    await asyncio.to_thread(migrate, url, MIGRATIONS)
    async with database.connect(url, DatabaseOptions("test")) as opened:
        yield Store(opened, lambda: make_tag(random))


@pytest.fixture
def followers(store: Store, redis: Redis) -> Followers:
    """Return followers stored in the database and in Redis."""
    return Followers(store, redis, ACCOUNTS)
