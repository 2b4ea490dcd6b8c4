"""PostgreSQL with a standby that takes over, a lost commit, and PgBouncer in between."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy import text

import imsg_history.database
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.migrations import MIGRATIONS
from imsg_testing.servers import Pair, PgBouncer, Postgres, run_pair
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.release

WITHIN_S = 60.0
OPTIONS = DatabaseOptions("imsg-test", statement_timeout_s=30)


@asynccontextmanager
async def open_numbers(url: str, options: DatabaseOptions = OPTIONS) -> AsyncIterator[Database]:
    """Open a database with a table of numbers."""
    async with connect(read_url(url), options) as database:
        async with database.writing() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS numbers (n integer PRIMARY KEY)"))
        yield database


async def write(database: Database, number: int) -> None:
    """Write a number; raises DatabaseUnavailable."""
    async with database.writing() as connection:
        await connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number})


async def read_numbers(database: Database) -> set[int]:
    """Read all numbers, over a change of the primary."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                async with database.reading() as connection:
                    return set(await connection.scalars(text("SELECT n FROM numbers")))
            await asyncio.sleep(0.1)


async def write_on(
    database: Database, kept: set[int], stopping: asyncio.Event, *, first: int = 0, step: int = 1
) -> None:
    """Write number after number; `kept` gets those whose commit was answered."""
    number = first
    while not stopping.is_set():
        number += step
        try:
            await write(database, number)
        except DatabaseUnavailable:
            await asyncio.sleep(0.05)
        else:
            kept.add(number)


async def wait_for_more(kept: Collection[int], more: int) -> None:
    """Wait until so many more are kept."""
    goal = len(kept) + more
    async with asyncio.timeout(WITHIN_S):
        while len(kept) < goal:  # noqa: ASYNC110  a set has no event for it
            await asyncio.sleep(0.02)


async def test_what_was_committed_outlives_the_primary_where_the_standby_is_synchronous() -> None:
    with run_pair(is_synchronous=True) as pair:
        async with open_numbers(pair.url_of("postgres")) as database:
            kept: set[int] = set()
            stopping = asyncio.Event()
            writing = [asyncio.create_task(write_on(database, kept, stopping))]
            await wait_for_more(kept, 200)
            pair.primary.kill()
            await asyncio.to_thread(pair.standby.promote)
            await wait_for_more(kept, 200)
            stopping.set()
            await asyncio.gather(*writing)
            assert kept <= await read_numbers(database)


async def test_a_commit_that_no_standby_confirmed_is_not_called_done() -> None:
    """Who no longer waits for the standby is warned by PostgreSQL, and answered COMMIT; at a failover it is gone."""
    with run_pair(is_synchronous=True) as pair:
        async with open_numbers(pair.url_of("postgres")) as database:
            await write(database, 1)
            with pair.standby.paused():
                writing = asyncio.create_task(write(database, 2))
                await eventually(lambda: asyncio.to_thread(_cancel_a_wait, pair.primary), WITHIN_S)
                with pytest.raises(DatabaseUnavailable, match="standby did not confirm"):
                    await writing
            await write(database, 3)
            assert {1, 3} <= await read_numbers(database)


def _cancel_a_wait(primary: Postgres) -> bool:
    """Cancel the commits that wait for the standby; return whether there were any."""
    with primary.connect() as connection:
        waits = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        return bool(connection.execute(waits).fetchall())


async def test_an_asynchronous_standby_lacks_what_it_had_not_received() -> None:
    with run_pair(is_synchronous=False) as pair:
        async with open_numbers(pair.url_of("postgres")) as database:
            await write(database, 1)
            await _wait_until_received(pair)
            pair.standby.kill()
            await write(database, 2)
            pair.primary.kill()
            await asyncio.to_thread(pair.standby.start)
            await asyncio.to_thread(pair.standby.promote)
            assert await read_numbers(database) == {1}


async def test_what_an_asynchronous_standby_loses_under_load_is_what_it_had_not_received() -> None:
    with run_pair(is_synchronous=False) as pair:
        async with open_numbers(pair.url_of("postgres")) as database:
            kept: set[int] = set()
            stopping = asyncio.Event()
            writing = [asyncio.create_task(write_on(database, kept, stopping, step=4, first=n)) for n in range(4)]
            await wait_for_more(kept, 2_000)
            received = set(kept)
            await _wait_until_received(pair)
            await wait_for_more(kept, 20)
            pair.primary.kill()
            await asyncio.to_thread(pair.standby.promote)
            await wait_for_more(kept, 20)
            stopping.set()
            await asyncio.gather(*writing)
            assert received <= await read_numbers(database)


async def test_a_standby_behind_the_same_name_is_left_once_it_refused_a_write() -> None:
    """As behind an address that moves: the connection would stay in the pool, good for reading alone."""
    with run_pair(is_synchronous=False) as pair:
        async with open_numbers(pair.primary.url) as database:
            await write(database, 1)
        await _wait_until_received(pair)
        async with connect(read_url(pair.standby.url), OPTIONS) as database:
            with pytest.raises(DatabaseUnavailable, match="read-only"):
                await write(database, 2)
            await asyncio.to_thread(pair.standby.promote)
            await write(database, 2)
            assert await read_numbers(database) == {1, 2}


async def _wait_until_received(pair: Pair) -> None:
    """Wait until the standby has all that was written so far."""

    def find_end() -> str:
        with pair.primary.connect() as connection:
            row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        assert row is not None
        return str(row[0])

    def has_received(end: str) -> bool:
        with pair.primary.connect() as connection:
            query = "SELECT pg_wal_lsn_diff(%s::pg_lsn, flush_lsn) FROM pg_stat_replication"
            row = connection.execute(query, [end]).fetchone()
        return row is not None and row[0] is not None and row[0] <= 0

    end = await asyncio.to_thread(find_end)
    await eventually(lambda: asyncio.to_thread(has_received, end), WITHIN_S)


@pytest.fixture(scope="module")
def pgbouncer(postgres: Postgres) -> Iterator[PgBouncer]:
    """Run a PgBouncer before the run's PostgreSQL."""
    with PgBouncer(postgres) as server:
        yield server


@pytest.fixture
def pooled_url(pgbouncer: PgBouncer, postgres_database: str) -> str:
    """Return the URL of an empty database behind PgBouncer, which answers late on a busy machine."""
    return f"{pgbouncer.url_of(postgres_database.rpartition('/')[2])}?connect_timeout=30"


async def test_bounds_hold_behind_pgbouncer_and_stay_with_their_transaction(pooled_url: str) -> None:
    url = read_url(pooled_url)
    async with connect(url, DatabaseOptions("imsg-test", statement_timeout_s=0.5)) as database:
        with pytest.raises(DatabaseUnavailable, match="statement timeout"):
            async with database.reading() as connection:
                await connection.execute(text("SELECT pg_sleep(3)"))
    # Ten transactions share two sessions with those of a client without a timeout, as history is.
    async with (
        connect(url, OPTIONS) as database,
        connect(url, DatabaseOptions("imsg-other", statement_timeout_s=None)) as other,
    ):

        async def read_bound(replica: Database) -> str:
            async with replica.reading() as connection:
                await connection.execute(text("SELECT pg_sleep(0.02)"))
                return str(await connection.scalar(text("SELECT current_setting('statement_timeout')")))

        said = await asyncio.gather(*(read_bound(replica) for replica in (database, other) * 10))
    assert said == ["30s", "0"] * 10


async def test_without_pgbouncer_a_session_is_bounded_once(postgres_database: str) -> None:
    async with open_numbers(postgres_database) as database, database.reading() as connection:
        assert await connection.scalar(text("SELECT current_setting('statement_timeout')")) == "30s"
        assert (
            await connection.scalar(text("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'")) == "30000"
        )


async def test_tables_are_made_once_by_several_that_start_behind_pgbouncer(pooled_url: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(migrate, read_url(pooled_url), MIGRATIONS) for _ in range(4)))
    with psycopg.connect(pooled_url) as connection:
        found = connection.execute(f"SELECT version_num FROM {MIGRATIONS.version_table}").fetchall()  # noqa: S608  our own name
    assert found == [(MIGRATIONS.head,)]
    assert imsg_history.database.OPTIONS.statement_timeout_s is None


async def test_pgbouncer_restarted_is_a_moment_without_a_database(pgbouncer: PgBouncer, pooled_url: str) -> None:
    async with open_numbers(pooled_url) as database:
        kept: set[int] = set()
        stopping = asyncio.Event()
        writing = [asyncio.create_task(write_on(database, kept, stopping))]
        await wait_for_more(kept, 50)
        await asyncio.to_thread(pgbouncer.restart)
        await wait_for_more(kept, 50)
        stopping.set()
        await asyncio.gather(*writing)
        assert kept <= await read_numbers(database)
