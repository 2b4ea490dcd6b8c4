"""The store of auth on each kind of database, and several processes on one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from imsg_auth.migrations import MIGRATIONS
from imsg_auth.rows.users import User
from imsg_auth.store import Store
from imsg_auth.user_cache import UserCache
from imsg_auth.user_changes import UserChanges
from imsg_contract.ids import new_id
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_limits.quota import PER_DAY, PER_HOUR
from imsg_runtime.redis import Redis
from imsg_runtime.redis import connect as connect_redis

OPTIONS = DatabaseOptions("test", busy_timeout_s=60, statement_timeout_s=60)
"""Patient: a busy machine may let one of several processes wait for its turn longer than a service would."""

PERSON = User(
    id="0193" + "a" * 28,
    username="张三",
    password="no hash",
    role="user",
    available=True,
    quotas=(PER_HOUR._replace(limit=0), PER_DAY._replace(limit=20)),
    phone=None,
    email=None,
    wechat=None,
    epoch=2**53 - 1,
    created_at=datetime(2026, 11, 25, 8, 0, 0, 123_000, tzinfo=UTC),
)


def another(name: str, **given: Any) -> User:  # noqa: ANN401  any field
    """Make another user than PERSON."""
    return replace(PERSON, id=new_id(), username=name, **given)


async def add(store: Store, *users: User) -> None:
    """Add users."""
    async with store.writing() as rows:
        for user in users:
            await rows.add_user(user)


async def read_user(store: Store, username: str = "张三") -> User:
    """Read a user that must be there."""
    async with store.reading() as rows:
        user = await rows.find_user(username)
    assert user is not None
    return user


class Auth:
    """One auth process: an engine, a connection to Redis and its parts, of its own."""

    def __init__(self, store: Store, redis: Redis) -> None:
        self.store = store
        self.user_cache = UserCache(store, redis)
        self.changes = UserChanges(store, self.user_cache)


@asynccontextmanager
async def processes(database_url: str, redis_url: str, count: int) -> AsyncIterator[list[Auth]]:
    """Open several, as separate as processes are."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(count):
            database = await stack.enter_async_context(connect(read_url(database_url), OPTIONS))
            redis = await stack.enter_async_context(connect_redis(redis_url))
            opened.append(Auth(Store(database), redis))
        yield opened


@asynccontextmanager
async def open_migrated(url: str) -> AsyncIterator[Database]:
    """Open an empty database, which is migrated first."""
    await asyncio.to_thread(migrate, read_url(url), MIGRATIONS)
    async with connect(read_url(url), OPTIONS) as database:
        yield database
