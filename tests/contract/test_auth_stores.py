"""Auth's rows are read as they were written, in order and in pages; on SQLite and PostgreSQL."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import JSON, Column, Connection, MetaData, Table, update

from imsg_auth.migrations import MIGRATIONS
from imsg_auth.rows.keys import Key
from imsg_auth.rows.providers import MAX_VERSIONS, AccountVersion, RemovedAccount
from imsg_auth.rows.senders import SenderRow
from imsg_auth.rows.users import REVOKED_MARGIN_S, FieldTaken
from imsg_auth.store import Store
from imsg_auth.tables import METADATA
from imsg_contract.ids import new_id
from imsg_database.database import Database
from imsg_limits.quota import QuotaRow
from imsg_testing.auth_store import PERSON, add, another, open_migrated, read_user

SEGMENTS = QuotaRow("ours", "segments", "month", 1_000_000_000, "sms")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Run on both: isolation, types and order of texts differ."""
    return str(request.param)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open a migrated database."""
    async with open_migrated(database_url) as database:
        yield database


@pytest.fixture
def store(database: Database) -> Store:
    """Make a store on it."""
    return Store(database)


async def test_the_migrations_make_the_tables_as_declared(database: Database) -> None:
    """No difference is left for the next revision."""

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": MIGRATIONS.version_table})
        return list(compare_metadata(context, METADATA))

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_user_comes_back_as_it_was_written(store: Store) -> None:
    """Every column, to the millisecond and the largest epoch."""
    whole = replace(
        PERSON, phone="+8613800138000", email="a@例子.cn", wechat="7K3-M9Q-2XF", quotas=(SEGMENTS, *PERSON.quotas)
    )
    await add(store, whole)
    assert await read_user(store) == whole


async def test_what_a_later_version_has_added_to_quotas_is_passed_over(database: Database, store: Store) -> None:
    """As after a rollback."""
    await add(store, PERSON)
    users = Table("users", MetaData(), Column("quotas", JSON))
    later = [{**row._asdict(), "newer": [1]} for row in PERSON.quotas]
    async with database.writing() as connection:
        await connection.execute(update(users).values(quotas=later))
    assert await read_user(store) == PERSON


async def test_a_contact_or_name_that_is_taken_is_named(store: Store) -> None:
    """None is no contact, and many may have none."""
    first = replace(PERSON, phone="+8613800138000", email="a@example.com", wechat="7K3-M9Q-2XF")
    await add(store, first, another("b"), another("c"))
    for field in ("username", "phone", "email", "wechat"):
        other = replace(another("d"), **{field: getattr(first, field)})
        with pytest.raises(FieldTaken) as taken:
            await add(store, other)
        assert taken.value.field == field
        if field != "username":
            with pytest.raises(FieldTaken) as taken:
                async with store.writing() as rows:
                    await rows.update_user("b", {field: getattr(first, field)})
            assert taken.value.field == field


async def test_an_email_address_is_one_person_whatever_its_case(store: Store) -> None:
    """Its spelling is kept; its user may respell it, and after a removal another user may have it."""
    await add(store, replace(PERSON, email="Zhang@example.com"), another("b"))
    with pytest.raises(FieldTaken) as taken:
        await add(store, another("c", email="zhang@example.com"))
    assert taken.value.field == "email"
    with pytest.raises(FieldTaken):
        async with store.writing() as rows:
            await rows.update_user("b", {"email": "ZHANG@example.com"})
    async with store.writing() as rows:
        await rows.update_user("张三", {"email": "zhang@example.com"})
        await rows.update_user("张三", {"email": None})
        await rows.update_user("b", {"email": "ZHANG@example.com"})
        kept = await rows.find_user("b")
    assert kept is not None
    assert kept.email == "ZHANG@example.com"


async def test_of_two_registered_at_once_one_has_the_address(store: Store) -> None:
    async def register(n: int) -> bool:
        try:
            spelled = f"{'zZ'[n % 2]}{'hH'[n // 2 % 2]}{'aA'[n // 4 % 2]}ng@x.cn"
            await add(store, another(f"user{n}", email=spelled))
        except FieldTaken:
            return False
        return True

    assert sum(await asyncio.gather(*map(register, range(20)))) == 1


async def test_names_are_exact_and_ordered_by_code_point(store: Store) -> None:
    """On both databases, whatever the server's language."""
    names = ["A", "B", "a", "a b", "ab", "b", "Ä", "ä", "Ω", "中", "張", "\U0001f642"]
    await add(store, *(another(name) for name in random.sample(names, len(names))))
    async with store.reading() as rows:
        listed = [user.username for user in await rows.list_users(None, (), 100)]
        assert listed == sorted(names)
        assert [user.username for user in await rows.list_users("ab", (), 3)] == sorted(names)[5:8]
        assert await rows.find_user("Ab") is None
        assert await rows.find_user("a ") is None


async def test_a_key_comes_back_as_it_was_written_and_goes_with_its_user(store: Store) -> None:
    at = datetime(2026, 11, 25, 8, 0, 0, 123_000, tzinfo=UTC)
    whole = Key(
        id=new_id(1.0),
        username="张三",
        digest="d" * 64,
        hint="imsg_live_…abcd",
        name="图书馆系统",
        kind="live",
        scopes=("send:smtp", "query"),
        networks=("192.0.2.0/24", "2001:db8::/32"),
        created_at=at,
        expires_at=at + timedelta(days=1),
        last_used_at=at,
        last_used_from="192.0.2.7",
    )
    unused = replace(whole, last_used_at=None, last_used_from=None)
    endless = replace(unused, id=new_id(2.0), digest="e" * 64, networks=(), expires_at=None)
    await add(store, PERSON, another("b"))
    async with store.writing() as rows:
        await rows.add_key(whole)
        await rows.add_key(endless)
        await rows.record_key_use(whole.id, at - timedelta(seconds=1), "192.0.2.8")
        assert await rows.find_key(whole.id) == whole
        assert await rows.find_key_by_digest("e" * 64) == endless
        assert await rows.list_keys("张三", None, 9) == [whole, endless]
        assert await rows.list_keys(None, whole.id, 9) == [endless]
        assert (await rows.list_keys("b", None, 9), await rows.count_keys("张三")) == ([], 2)
        await rows.record_key_use(whole.id, at + timedelta(seconds=1), "192.0.2.8")
        used = await rows.find_key(whole.id)
        assert used is not None
        assert (used.last_used_at, used.last_used_from) == (at + timedelta(seconds=1), "192.0.2.8")
        await rows.remove_user("张三")
    async with store.reading() as rows:
        assert await rows.list_keys(None, None, 9) == []


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
        await rows.remove_user("张三")
    await add(store, PERSON)
    async with store.reading() as rows:
        assert await rows.read_revoked("张三", 0) == {}


async def test_a_record_of_the_outbox_is_taken_by_one_and_comes_back_when_its_taker_dies(store: Store) -> None:
    """After its lease."""
    async with store.writing() as rows:
        for body in ("one", "two", "three"):
            await rows.add_audit_record(body)
    async with store.writing() as rows:
        first = await rows.lease_audit_records(now=100, until=160, limit=2)
    assert list(first.values()) == [("change", "one"), ("change", "two")]
    async with store.writing() as rows:
        assert list((await rows.lease_audit_records(now=159, until=200, limit=9)).values()) == [("change", "three")]
        await rows.delete_audit_record(min(first))
    async with store.writing() as rows:
        assert list((await rows.lease_audit_records(now=160, until=220, limit=9)).values()) == [("change", "two")]
        await rows.release_audit_records(list(first))
    async with store.writing() as rows:
        assert list((await rows.lease_audit_records(now=161, until=220, limit=9)).values()) == [("change", "two")]


async def test_senders_are_replaced_by_their_names(store: Store) -> None:
    at = datetime(2026, 11, 29, 8, tzinfo=UTC)
    news = SenderRow("news", "smtp", "天存 <news@example.com>", None, at, "admin")
    async with store.writing() as rows:
        for sender in (news, replace(news, name="alerts"), replace(news, reply_to="office@example.com")):
            await rows.put_sender(sender)
    async with store.reading() as rows:
        assert await rows.list_senders() == [replace(news, name="alerts"), replace(news, reply_to="office@example.com")]
    async with store.writing() as rows:
        await rows.remove_sender("alerts")
    async with store.reading() as rows:
        assert [sender.name for sender in await rows.list_senders()] == ["news"]


def make_version(name: str, version: int, method: str = "smtp") -> AccountVersion:
    """Make a version of an account at a provider."""
    at = datetime(2026, 11, 29, 8, tzinfo=UTC) + timedelta(minutes=version)
    return AccountVersion(method, name, version, "smtp", f"sealed {version}", at, "admin", is_current=True)


async def test_accounts_keep_the_order_in_which_they_were_set_up_and_their_latest_versions(store: Store) -> None:
    """The last version is the current one, and an account goes with all of its versions and its switch."""
    async with store.writing() as rows:
        await rows.lock_accounts("smtp")
        for version in range(1, MAX_VERSIONS + 3):
            await rows.add_account_version(make_version("office", version))
        await rows.add_account_version(replace(make_version("backup", 1), changed_at=datetime(2027, 1, 1, tzinfo=UTC)))
        await rows.add_account_version(make_version("cloud", 1, "sms"))
        await rows.change_switch("smtp", "office", {"enabled": False})
    async with store.reading() as rows:
        current = await rows.list_accounts("smtp")
        versions = await rows.list_account_versions("smtp", "office")
        everything = await rows.list_accounts()
    assert [(account.name, account.version) for account in current] == [("office", MAX_VERSIONS + 2), ("backup", 1)]
    assert [version.version for version in versions] == [*range(MAX_VERSIONS + 2, 2, -1)]
    assert [version.is_current for version in versions] == [True, *[False] * (MAX_VERSIONS - 1)]
    assert {account.method for account in everything} == {"smtp", "sms"}
    async with store.writing() as rows:
        await rows.seal_account_again(versions[1], "sealed anew")
        await rows.remove_account("smtp", "backup")
    async with store.reading() as rows:
        assert (await rows.list_account_versions("smtp", "office"))[1].settings == "sealed anew"
        assert [account.name for account in await rows.list_accounts("smtp")] == ["office"]
        assert [switch.name for switch in await rows.list_switches()] == ["office"]
    async with store.writing() as rows:
        await rows.remove_account("smtp", "office")
    async with store.reading() as rows:
        assert (await rows.list_account_versions("smtp", "office"), await rows.list_switches()) == ([], [])


async def test_what_was_removed_is_kept_until_it_is_dropped(store: Store) -> None:
    """Also two of one name."""
    at = datetime(2026, 11, 29, 8, tzinfo=UTC)
    early = [RemovedAccount(f"{n:032}", "sms", "cloud", "aliyun", f"sealed {n}", at) for n in range(2)]
    late = RemovedAccount("f" * 32, "sms", "cloud", "tencent", "sealed", at + timedelta(minutes=1))
    async with store.writing() as rows:
        await rows.add_removed_accounts(early)
        await rows.add_removed_accounts([late])
        await rows.seal_removed_account_again(early[0], "sealed anew")
    async with store.reading() as rows:
        assert await rows.list_removed_accounts() == [late, replace(early[0], settings="sealed anew"), early[1]]
    async with store.writing() as rows:
        await rows.drop_removed_accounts(at)
    async with store.reading() as rows:
        assert await rows.list_removed_accounts() == [late]
