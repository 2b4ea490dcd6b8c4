"""auth's promises, held alike by SQLite and PostgreSQL: starts, races, pages, and a cache that is never stale."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, insert

from imsg_auth.migrations import STEPS
from imsg_auth.store import REVOKED_MARGIN_S, Store, Taken, User
from imsg_auth.tables import METADATA, USERS
from imsg_auth.tokens import ROLL_S, ids_from
from imsg_auth.user_cache import UserCache
from imsg_auth.user_changes import UserChanges
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import Terms
from imsg_database.migrate import migrate
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import Redis, RedisUnavailable
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.auth import Late, Visitor, read_cached, running, settings
from imsg_testing.servers import Postgres, Valkey
from imsg_testing.upgrades import older_steps
from imsg_testing.waiting import eventually

TERMS = Terms("test")

PERSON = User(
    id="0193" + "a" * 28,
    username="张三",
    password="no hash",
    role="user",
    available=True,
    per_hour=0,
    per_day=20,
    recipients_per_day=None,
    phone=None,
    email=None,
    wechat=None,
    epoch=2**53 - 1,
    created_at=datetime(2026, 11, 25, 8, 0, 0, 123_000, tzinfo=UTC),
)


def another(name: str, **given: Any) -> User:  # noqa: ANN401  any field
    """Make another user than PERSON."""
    return replace(PERSON, id=new_id(), username=name, **given)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open a migrated database."""
    await asyncio.to_thread(migrate, read_url(database_url), STEPS)
    async with connect(read_url(database_url), TERMS) as database:
        yield database


@pytest.fixture
def store(database: Database) -> Store:
    """Make a store on it."""
    return Store(database)


async def add(store: Store, *users: User) -> None:
    """Add users."""
    async with store.writing() as rows:
        for user in users:
            await rows.add(user)


async def read_user(store: Store, username: str = "张三") -> User:
    """Read a user that must be there."""
    async with store.reading() as rows:
        user = await rows.user(username)
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
            database = await stack.enter_async_context(connect(read_url(database_url), TERMS))
            redis = await stack.enter_async_context(connect_redis(redis_url))
            opened.append(Auth(Store(database), redis))
        yield opened


async def test_what_the_migrations_make_is_what_the_tables_say(database: Database) -> None:
    """No difference is left for the next revision."""

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": STEPS.versions})
        return list(compare_metadata(context, METADATA))

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_first_accounts_are_made_once_by_many_that_start_at_once(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """And all of them know the same password."""
    asked = settings(redis_url, tmp_path, database_url=database_url, host="0.0.0.0")
    async with AsyncExitStack() as stack:
        entering = [stack.enter_async_context(running(asked)) for _ in range(4)]
        visitors = await asyncio.gather(*entering)
        password = (tmp_path / "admin-password").read_text().strip()
        for visitor in visitors:
            admin = await visitor.log_in("admin", password)
            users = (await admin.get("/api/users")).json()["users"]
            assert [user["username"] for user in users] == ["admin"]


async def test_a_user_comes_back_as_it_was_written(store: Store) -> None:
    """Every column, to the millisecond and the largest epoch."""
    whole = replace(PERSON, phone="+8613800138000", email="a@例子.cn", wechat="7K3-M9Q-2XF", recipients_per_day=7)
    await add(store, whole)
    assert await read_user(store) == whole


async def test_a_contact_or_name_that_is_taken_is_named(store: Store) -> None:
    """None is no contact, and many may have none."""
    first = replace(PERSON, phone="+8613800138000", email="a@example.com", wechat="7K3-M9Q-2XF")
    await add(store, first, another("b"), another("c"))
    for field in ("username", "phone", "email", "wechat"):
        other = replace(another("d"), **{field: getattr(first, field)})
        with pytest.raises(Taken) as taken:
            await add(store, other)
        assert taken.value.field == field
        if field != "username":
            with pytest.raises(Taken) as taken:
                async with store.writing() as rows:
                    await rows.change("b", {field: getattr(first, field)})
            assert taken.value.field == field


async def test_an_upgrade_gives_every_user_an_id_and_keeps_everything_else(database_url: str) -> None:
    """A day long tokens are made as gateways of before verify them; who such an auth registers has an id."""
    before = replace(STEPS, folder=older_steps(STEPS.folder, "0001"), head="0001")
    await asyncio.to_thread(migrate, read_url(database_url), before)
    later = ("id", "may_send_codes", "events", "senders")
    row = {name: getattr(PERSON, name) for name in User.__dataclass_fields__ if name not in later}
    async with connect(read_url(database_url), TERMS) as database:
        async with database.writing() as connection:
            for name in ("张三", "李四"):
                await connection.execute(insert(USERS).values(row | {"username": name}))
        await asyncio.to_thread(migrate, read_url(database_url), STEPS)
        async with Store(database).writing() as rows:
            found = [await rows.user(name) for name in ("张三", "李四")]
            oldest = await rows.oldest()
        assert all(user is not None and len(user.id) == 32 for user in found)
        assert len({user.id for user in found if user}) == 2
        assert found[0] == replace(PERSON, id=found[0].id if found[0] else "", may_send_codes=True)
        assert oldest is not None
        assert ids_from(oldest) == pytest.approx(time.time() + ROLL_S, abs=60)
        assert ids_from(replace(PERSON, id=new_id(PERSON.created_at.timestamp()))) == 0
        if database_url.startswith("postgresql"):
            async with database.writing() as connection:
                await connection.execute(insert(USERS).values(row | {"username": "王五"}))
            async with Store(database).reading() as rows:
                late = await rows.user("王五")
            assert late is not None
            assert (len(late.id), late.may_send_codes) == (32, True)


async def test_an_email_address_is_one_person_whatever_its_case(store: Store) -> None:
    """Its spelling is kept; whoever has it may spell it otherwise, and whoever lets go of it leaves it to others."""
    await add(store, replace(PERSON, email="Zhang@example.com"), another("b"))
    with pytest.raises(Taken) as taken:
        await add(store, another("c", email="zhang@example.com"))
    assert taken.value.field == "email"
    with pytest.raises(Taken):
        async with store.writing() as rows:
            await rows.change("b", {"email": "ZHANG@example.com"})
    async with store.writing() as rows:
        await rows.change("张三", {"email": "zhang@example.com"})
        await rows.change("张三", {"email": None})
        await rows.change("b", {"email": "ZHANG@example.com"})
        kept = await rows.user("b")
    assert kept is not None
    assert kept.email == "ZHANG@example.com"


async def test_of_two_registered_at_once_one_has_the_address(store: Store) -> None:
    async def register(n: int) -> bool:
        try:
            spelled = f"{'zZ'[n % 2]}{'hH'[n // 2 % 2]}{'aA'[n // 4 % 2]}ng@x.cn"
            await add(store, another(f"user{n}", email=spelled))
        except Taken:
            return False
        return True

    assert sum(await asyncio.gather(*map(register, range(20)))) == 1


async def test_twins_of_before_stay_users_and_are_shown(database_url: str) -> None:
    """Nobody joins them; one of them may change the address, and is no twin then."""
    before = replace(STEPS, folder=older_steps(STEPS.folder, "0001"), head="0001")
    await asyncio.to_thread(migrate, read_url(database_url), before)
    later = ("id", "may_send_codes", "events", "senders")
    row = {name: getattr(PERSON, name) for name in User.__dataclass_fields__ if name not in later}
    async with connect(read_url(database_url), TERMS) as database:
        async with database.writing() as connection:
            for name, email in (("a", "Zhang@x.cn"), ("b", "zhang@x.cn"), ("c", "li@x.cn"), ("d", None)):
                await connection.execute(insert(USERS).values(row | {"username": name, "email": email}))
        await asyncio.to_thread(migrate, read_url(database_url), STEPS)
        store = Store(database)
        async with store.writing() as rows:
            users = await rows.page(None, (), 10)
            assert [user.email for user in users] == ["Zhang@x.cn", "zhang@x.cn", "li@x.cn", None]
            assert await rows.twins(users) == {"a": ["b"], "b": ["a"]}
            assert await rows.mend_email_keys() == 2
        with pytest.raises(Taken):
            await add(store, another("e", email="ZHANG@x.cn"))
        async with store.writing() as rows:
            await rows.change("b", {"email": "ZHANG@x.cn"})
            await rows.change("a", {"email": "other@x.cn"})
            assert await rows.twins(await rows.page(None, (), 10)) == {}
        with pytest.raises(Taken):
            await add(store, another("e", email="zhang@x.cn"))


async def test_names_are_exact_and_ordered_by_code_point(store: Store) -> None:
    """On both databases, whatever the server's language."""
    names = ["A", "B", "a", "a b", "ab", "b", "Ä", "ä", "Ω", "中", "張", "\U0001f642"]
    await add(store, *(another(name) for name in random.sample(names, len(names))))
    async with store.reading() as rows:
        listed = [user.username for user in await rows.page(None, (), 100)]
        assert listed == sorted(names)
        assert [user.username for user in await rows.page("ab", (), 3)] == sorted(names)[5:8]
        assert await rows.user("Ab") is None
        assert await rows.user("a ") is None


async def test_logged_out_tokens_are_forgotten_once_they_have_long_expired(store: Store) -> None:
    """And with their user."""
    await add(store, PERSON)
    async with store.writing() as rows:
        await rows.revoke("张三", "a" * 32, 1000, now=500)
        await rows.revoke("张三", "a" * 32, 1000, now=500)
        await rows.revoke("张三", "b" * 32, 9000, now=500)
        assert await rows.read_revoked("张三", 1000 + REVOKED_MARGIN_S) == {"a" * 32: 1000, "b" * 32: 9000}
        assert await rows.read_revoked("张三", 1001 + REVOKED_MARGIN_S) == {"b" * 32: 9000}
        await rows.revoke("张三", "c" * 32, 9000, now=1001 + REVOKED_MARGIN_S)
        assert await rows.read_revoked("张三", 0) == {"b" * 32: 9000, "c" * 32: 9000}
        await rows.remove("张三")
    await add(store, PERSON)
    async with store.reading() as rows:
        assert await rows.read_revoked("张三", 0) == {}


async def test_a_record_of_the_outbox_is_taken_by_one_and_comes_back_when_its_taker_dies(store: Store) -> None:
    """After its lease."""
    async with store.writing() as rows:
        for body in ("one", "two", "three"):
            await rows.note(body)
    async with store.writing() as rows:
        first = await rows.take_notes(now=100, until=160, limit=2)
    assert list(first.values()) == ["one", "two"]
    async with store.writing() as rows:
        assert list((await rows.take_notes(now=159, until=200, limit=9)).values()) == ["three"]
        await rows.drop_note(min(first))
    async with store.writing() as rows:
        assert list((await rows.take_notes(now=160, until=220, limit=9)).values()) == ["two"]
        await rows.release_notes(list(first))
    async with store.writing() as rows:
        assert list((await rows.take_notes(now=161, until=220, limit=9)).values()) == ["two"]


async def test_no_record_is_published_by_two(database_url: str, redis_url: str, database: Database) -> None:
    """However many processes take at once."""
    store = Store(database)
    async with store.writing() as rows:
        for n in range(60):
            await rows.note(str(n))

    async def take(auth: Auth) -> list[str]:
        taken: list[str] = []
        while True:
            async with auth.store.writing() as rows:
                notes = await rows.take_notes(now=100, until=160, limit=7)
            if not notes:
                return taken
            taken += notes.values()

    async with processes(database_url, redis_url, 3) as auths:
        taken = await asyncio.gather(*(take(auth) for auth in auths))
    assert sorted(body for bodies in taken for body in bodies) == sorted(map(str, range(60)))


async def test_a_stale_copy_never_remains(database_url: str, redis_url: str, redis: Redis, database: Database) -> None:
    """Three processes change one user and cache it at once; no change is ever overtaken by an older copy."""
    await add(Store(database), PERSON)
    overtaken: list[tuple[int, str]] = []

    async def change(auth: Auth, times: int) -> None:
        for _ in range(times):
            async with auth.changes.of("张三") as change:
                mine = change.user.per_hour + 1
                await change.set(per_hour=mine)
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
        async with direct.changes.of("张三") as change:
            await change.set(per_hour=7)
        assert (await read_cached(redis, "张三"))["per_hour"] == "7"
        assert await late.deliver() == 1
    assert (await read_cached(redis, "张三"))["per_hour"] == "7"


async def test_a_change_is_seen_by_nobody_before_it_is_committed(
    database_url: str, redis_url: str, redis: Redis, database: Database
) -> None:
    """Whoever asks for the copy in between waits and gets what was committed."""
    await add(Store(database), PERSON)
    async with processes(database_url, redis_url, 2) as (one, other):
        await one.user_cache.write("张三")
        async with one.changes.of("张三") as change:
            assert await read_cached(redis, "张三") == {}
            asking = asyncio.create_task(other.user_cache.write("张三"))
            await change.set(per_hour=9)
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
            async with auth.changes.of(name, may_end_administrator=True) as change:
                change.keep_an_administrator()
                if remove:
                    await change.rows.remove(name)
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
                    await rows.remove(left)
            await add(store, *(another(name, role="admin") for name in names))
            ended = await asyncio.gather(*(end(auths[n % 2], name, remove=n % 3 == 0) for n, name in enumerate(names)))
            assert sorted(ended) == ["ended"] * 4 + ["last_administrator"]
            async with store.writing() as rows:
                assert len(await rows.lock_administrators()) == 1


async def test_a_whole_story_goes_the_same_way(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Registered, found, changed, logged out, removed, through the API."""
    async with running(settings(redis_url, tmp_path, database_url=database_url)) as visitor:
        admin = await visitor.log_in("admin", "123")
        for n in range(5):
            body = {"username": f"用户{n}", "password": "secret", "email": f"u{n}@Example.com"}
            assert (await admin.call("POST", "/api/register", body)).json()["errorCode"] == 0
        again = {"username": "用户9", "password": "secret", "email": "u1@EXAMPLE.com"}
        assert (await admin.call("POST", "/api/register", again)).json()["errorCode"] == 10003
        assert (await admin.call("POST", "/api/register", {**again, "username": "用户1"})).json()["errorCode"] == 10004
        page = (await admin.get("/api/users?search=U3@&limit=1")).json()
        assert ([user["username"] for user in page["users"]], page["next"]) == (["用户3"], None)
        first = (await admin.get("/api/users?limit=4")).json()
        second = (await admin.get(f"/api/users?limit=4&cursor={first['next']}")).json()
        listed = [user["username"] for user in first["users"] + second["users"]]
        assert listed == sorted(["admin", "天存-system-1001", *(f"用户{n}" for n in range(5))])
        assert second["next"] is None
        user = await visitor.log_in("用户2", "secret")
        assert (await user.post("/api/password", old="secret", new="secret 2")).status_code == 200
        assert (await user.post("/api/logout", everywhere=True)).status_code == 200
        assert (await admin.delete("/api/users/用户2")).status_code == 200
        contacts = await admin.post("/internal/contacts", method="smtp", names=["用户1", "用户2", "admin"])
        assert contacts.json()["contacts"] == {"用户1": "u1@example.com", "admin": None}


async def unavailable(visitor: Visitor) -> bool:
    """Tell whether a change is refused as 10012 for now."""
    answer = await visitor.post("/api/modify/天存-system-1001", per_day=1, per_hour=1)
    assert answer.status_code in (200, 503)
    if answer.status_code == 503:
        assert (answer.json()["errorCode"], answer.json()["reason"]) == (10012, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
    return answer.status_code == 503


async def test_a_database_that_is_away_is_10012_and_comes_back_by_itself(redis_url: str, tmp_path: Path) -> None:
    """No restart, no hand."""
    with Postgres() as own:
        async with running(settings(redis_url, tmp_path, database_url=own.url)) as visitor:
            admin = await visitor.log_in("admin", "123")
            own.kill()
            assert await unavailable(admin)

            async def is_unready() -> bool:
                return bool((await admin.get("/health/ready")).json().get("unmet") == ["database"])

            await eventually(is_unready, within_s=20)
            own.start()

            async def is_back() -> bool:
                return not await unavailable(admin) and (await admin.get("/health/ready")).status_code == 200

            await eventually(is_back, within_s=20)


async def test_without_redis_nothing_is_changed(database_url: str, tmp_path: Path) -> None:
    """A copy that can't be deleted would outlive the change."""
    with Valkey() as own:
        async with running(settings(own.url, tmp_path, database_url=database_url)) as visitor:
            admin = await visitor.log_in("admin", "123")
            own.kill()
            assert await unavailable(admin)
            answer = await admin.post("/api/register", username="new", password="secret")
            assert answer.json()["reason"] == "unavailable"
            own.start()

            async def is_back() -> bool:
                return (await admin.get("/api/users")).status_code == 200

            await eventually(is_back, within_s=20)
            users = {user["username"]: user for user in (await admin.get("/api/users")).json()["users"]}
            assert "new" not in users
            assert users["天存-system-1001"]["per_day"] == 20


async def test_who_stops_waiting_for_a_row_leaves_nothing_behind(database_url: str, database: Database) -> None:
    """A request that was given up; its connection is whole again afterwards."""
    await add(Store(database), PERSON)
    async with connect(read_url(database_url), TERMS) as other:
        async with Store(database).writing() as rows:
            assert await rows.lock("张三") is not None
            with pytest.raises((DatabaseUnavailable, TimeoutError)):
                async with asyncio.timeout(0.3), Store(other).writing() as waiting:
                    await waiting.lock("张三")
        async with Store(other).writing() as rows:
            assert await rows.lock("张三") is not None
