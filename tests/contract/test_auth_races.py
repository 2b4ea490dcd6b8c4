"""Concurrent changes by several auths: no duplicates, and no stale cache; on SQLite and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from imsg_auth.store import Store
from imsg_auth.user_cache import UserCache
from imsg_contract.errors import Refusal
from imsg_contract.topology import QUOTAS_OF_ALL
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions
from imsg_database.unavailable import DatabaseUnavailable
from imsg_limits.quota import PER_HOUR, QuotaRow, encode_rows
from imsg_runtime.redis import Redis, RedisUnavailable
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.auth import Late, read_cached
from imsg_testing.auth_store import PERSON, Auth, add, another, open_migrated, processes, read_user


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Run on both: isolation, types and order of texts differ."""
    return str(request.param)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open a migrated database."""
    async with open_migrated(database_url) as database:
        yield database


async def test_no_record_is_published_by_two(database_url: str, redis_url: str, database: Database) -> None:
    """However many processes take at once."""
    store = Store(database)
    async with store.writing() as rows:
        for n in range(60):
            await rows.add_audit_record(str(n))

    async def lease_all(auth: Auth) -> list[str]:
        taken: list[str] = []
        while True:
            async with auth.store.writing() as rows:
                notes = await rows.lease_audit_records(now=100, until=160, limit=7)
            if not notes:
                return taken
            taken += [body for _, body in notes.values()]

    async with processes(database_url, redis_url, 3) as auths:
        taken = await asyncio.gather(*(lease_all(auth) for auth in auths))
    assert sorted(body for bodies in taken for body in bodies) == sorted(map(str, range(60)))


async def test_a_stale_copy_never_remains(database_url: str, redis_url: str, redis: Redis, database: Database) -> None:
    """Three processes change one user and cache it at once; no change is ever overtaken by an older copy."""
    await add(Store(database), PERSON)
    overtaken: list[tuple[int, str]] = []

    async def change(auth: Auth, times: int) -> None:
        for _ in range(times):
            async with auth.changes.open("张三") as change:
                mine = (change.user.per_hour or 0) + 1
                await change.set(quotas=(PER_HOUR._replace(limit=mine),))
            seen = (await read_cached(redis, "张三")).get("per_hour")
            if seen is not None and int(seen) < mine:
                overtaken.append((mine, seen))

    async def write(auth: Auth, done: asyncio.Event) -> None:
        while not done.is_set():
            await auth.user_cache.write("张三")

    async with processes(database_url, redis_url, 3) as auths:
        done = asyncio.Event()
        writers = [asyncio.create_task(write(auth, done)) for auth in auths]
        await asyncio.gather(*(change(auth, 15) for auth in auths for _ in range(2)))
        done.set()
        await asyncio.gather(*writers)
    assert overtaken == []
    assert (await read_user(Store(database))).per_hour == 90
    assert (await read_cached(redis, "张三"))["per_hour"] == "90"


async def test_a_copy_that_arrives_late_is_not_written(
    valkey_url: str, redis: Redis, redis_url: str, database: Database
) -> None:
    """Its writer gave up and lost the lock; Redis got the bytes only after the next change."""
    store = Store(database)
    await add(store, PERSON)
    direct = Auth(store, redis)
    assert await direct.user_cache.write("张三")
    place = urlsplit(valkey_url)
    async with (
        Late(place.hostname or "", place.port or 0, marker=b"per_hour").running() as late,
        connect_redis(late.url(redis_url)) as slow,
    ):
        with pytest.raises(RedisUnavailable):
            await UserCache(store, slow).write("张三")
        async with direct.changes.open("张三") as change:
            await change.set(quotas=(PER_HOUR._replace(limit=7),))
        assert (await read_cached(redis, "张三"))["per_hour"] == "7"
        assert await late.deliver() == 1
    assert (await read_cached(redis, "张三"))["per_hour"] == "7"


async def test_a_change_is_not_visible_before_it_is_committed(
    database_url: str, redis_url: str, redis: Redis, database: Database
) -> None:
    """A read in between waits, and returns what was committed."""
    await add(Store(database), PERSON)
    async with processes(database_url, redis_url, 2) as (one, other):
        await one.user_cache.write("张三")
        async with one.changes.open("张三") as change:
            assert await read_cached(redis, "张三") == {}
            asking = asyncio.create_task(other.user_cache.write("张三"))
            await change.set(quotas=(PER_HOUR._replace(limit=9),))
            assert await read_cached(redis, "张三") == {}
        assert await asking
    assert (await read_cached(redis, "张三"))["per_hour"] == "9"


async def test_the_last_administrator_stays_also_in_a_race(
    database_url: str, redis_url: str, database: Database
) -> None:
    """Of five that are demoted or removed all at once from two processes, one stays."""
    store = Store(database)

    async def end(auth: Auth, name: str, *, remove: bool) -> str:
        try:
            async with auth.changes.open(name, may_end_administrator=True) as change:
                change.require_other_admin()
                if remove:
                    await change.rows.remove_user(name)
                else:
                    await change.set(role="user")
        except Refusal as refusal:
            return refusal.reason
        return "ended"

    async with processes(database_url, redis_url, 2) as auths:
        for round_ in range(4):
            names = [f"admin {round_} {n}" for n in range(5)]
            async with store.writing() as rows:
                for left in await rows.lock_administrators():
                    await rows.remove_user(left)
            await add(store, *(another(name, role="admin") for name in names))
            ended = await asyncio.gather(*(end(auths[n % 2], name, remove=n % 3 == 0) for n, name in enumerate(names)))
            assert sorted(ended) == ["ended"] * 4 + ["last_administrator"]
            async with store.writing() as rows:
                assert len(await rows.lock_administrators()) == 1


async def test_who_stops_waiting_for_a_row_leaves_nothing_behind(database_url: str, database: Database) -> None:
    """A request that was given up; its connection is whole again afterwards."""
    await add(Store(database), PERSON)
    async with connect(read_url(database_url), DatabaseOptions("test")) as other:
        async with Store(database).writing() as rows:
            assert await rows.lock_user("张三") is not None
            with pytest.raises((DatabaseUnavailable, TimeoutError)):
                async with asyncio.timeout(0.3), Store(other).writing() as waiting:
                    await waiting.lock_user("张三")
        async with Store(other).writing() as rows:
            assert await rows.lock_user("张三") is not None


async def test_a_stale_list_of_the_installation_never_remains(
    database_url: str, redis_url: str, redis: Redis, database: Database
) -> None:
    """Three processes replace it and cache it at once; while a change is open, no request could be charged."""
    del database
    row = QuotaRow("all", "segments", "month", 0, "sms")

    async def change(auth: Auth, times: int) -> None:
        for _ in range(times):
            async with auth.changes.open_installation_limits() as change:
                (last,) = change.limits.quotas or (row,)
                await change.replace("quotas", (last._replace(limit=(last.limit or 0) + 1),))
                assert await redis.call("GET", QUOTAS_OF_ALL) is None

    async def write(auth: Auth, done: asyncio.Event) -> None:
        while not done.is_set():
            await auth.user_cache.write_installation_limits()

    async with processes(database_url, redis_url, 3) as auths:
        done = asyncio.Event()
        writers = [asyncio.create_task(write(auth, done)) for auth in auths]
        await asyncio.gather(*(change(auth, 10) for auth in auths))
        done.set()
        await asyncio.gather(*writers)
    assert await redis.call("GET", QUOTAS_OF_ALL) == encode_rows((row._replace(limit=30),)).encode()
