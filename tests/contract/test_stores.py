"""The contract of opening a database, on SQLite and PostgreSQL."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from imsg_auth.migrations import MIGRATIONS as AUTH
from imsg_callbacks.migrations import MIGRATIONS as CALLBACKS
from imsg_catalog.migrations import MIGRATIONS as CATALOG
from imsg_database.address import is_sqlite, read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import Migrations, migrate
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.migrations import MIGRATIONS as HISTORY
from imsg_runtime.settings import StartError
from imsg_scheduler.migrations import MIGRATIONS as SCHEDULER
from imsg_testing.servers import Postgres
from imsg_testing.waiting import eventually
from imsg_wechat.migrations import MIGRATIONS as WECHAT

OPTIONS = DatabaseOptions("test", busy_timeout_s=60, statement_timeout_s=60)
IMPATIENT = replace(OPTIONS, busy_timeout_s=1, statement_timeout_s=1)
WITHIN_S = 60.0
SERVICES = (AUTH, HISTORY, WECHAT, CATALOG, SCHEDULER, CALLBACKS)

MIGRATION = """
from alembic import op

revision = "{revision}"
down_revision = {before}

def upgrade():
    op.execute("{statement}")
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Run on both: each has its own locks, migrations and errors."""
    return str(request.param)


@pytest.fixture
def url(database_url: str) -> URL:
    """Read where."""
    return read_url(database_url)


@pytest.fixture
def migrations(tmp_path: Path) -> Migrations:
    """Write a service's one migration, in a folder with a difficult name."""
    folder = tmp_path / "100% 步"
    folder.mkdir()
    made = Migrations(folder, "things_version")
    write_migration(made, "CREATE TABLE things (name VARCHAR(9) PRIMARY KEY, count INTEGER NOT NULL)")
    return made


def write_migration(migrations: Migrations, statement: str, revision: int = 1) -> None:
    """Write a migration that runs a statement."""
    before = repr(f"{revision - 1:04}") if revision > 1 else None
    body = MIGRATION.format(revision=f"{revision:04}", before=before, statement=statement)
    (migrations.folder / f"things_{revision:04}.py").write_text(body)


@pytest.fixture
async def database(url: URL, migrations: Migrations) -> AsyncIterator[Database]:
    """Open a migrated database that holds one thing, counted 0."""
    await asyncio.to_thread(migrate, url, migrations)
    async with connect(url, OPTIONS) as opened:
        async with opened.writing() as connection:
            await connection.execute(text("INSERT INTO things VALUES ('one', 0)"))
        yield opened


async def count(database: Database, name: str = "one") -> int | None:
    """Read how often a thing was counted; None where it is not there."""
    async with database.reading() as connection:
        found = await connection.scalar(text("SELECT count FROM things WHERE name = :name"), {"name": name})
    return None if found is None else int(found)


# --- migrations

STARTING = """
import sys
from pathlib import Path
from imsg_database.address import is_sqlite, read_url
from imsg_database.migrate import Migrations, migrate

migrate(read_url(sys.argv[1]), Migrations(Path(sys.argv[2]), "things_version"))
"""


async def start(database_url: str, migrations: Migrations) -> None:
    """Migrate in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        STARTING,
        database_url,
        str(migrations.folder),
    )
    async with asyncio.timeout(240):  # four at once load a whole Python each
        assert await process.wait() == 0


async def test_of_processes_that_start_at_once_one_migrates_and_the_others_wait(
    database_url: str, migrations: Migrations
) -> None:
    await asyncio.gather(*(start(database_url, migrations) for _ in range(4)))  # to create the table twice would fail
    async with connect(read_url(database_url), OPTIONS) as database, database.reading() as connection:
        assert (await connection.execute(text("SELECT version_num FROM things_version"))).scalars().all() == ["0001"]


async def test_a_later_migration_runs_on_what_the_earlier_ones_left(
    url: URL, migrations: Migrations, database: Database
) -> None:
    write_migration(migrations, "UPDATE things SET count = 7", revision=2)
    await asyncio.to_thread(migrate, url, migrations)
    assert await count(database) == 7


async def test_a_migration_that_fails_leaves_nothing_behind(
    url: URL, migrations: Migrations, database: Database
) -> None:
    write_migration(migrations, "INSERT INTO things VALUES ('two', 0)", revision=2)
    write_migration(migrations, "INSERT INTO things VALUES ('two', 0)", revision=3)
    with pytest.raises(StartError, match=r"to migration 0003 of things_version .* They are as they were"):
        await asyncio.to_thread(migrate, url, migrations)
    assert await count(database, "two") is None


async def test_who_is_rolled_back_works_on_tables_to_which_a_later_version_has_added(
    url: URL, migrations: Migrations, database: Database, tmp_path: Path
) -> None:
    before = Migrations(tmp_path / "before", migrations.version_table)
    shutil.copytree(migrations.folder, before.folder)
    write_migration(migrations, "ALTER TABLE things ADD COLUMN colour VARCHAR(9)", revision=2)
    await asyncio.to_thread(migrate, url, migrations)
    for folder in (before, migrations):
        await asyncio.to_thread(migrate, url, folder)
        async with database.writing() as connection:
            await connection.execute(text("UPDATE things SET count = count + 1"))
    assert await count(database) == 2


async def test_a_version_older_than_a_removing_migration_is_refused(
    url: URL, migrations: Migrations, database: Database
) -> None:
    async with database.writing() as connection:
        await connection.execute(text("UPDATE things_version SET version_num = '0101'"))
    with pytest.raises(StartError, match=r"migration 0101 of things_version, this one knows 0001"):
        await asyncio.to_thread(migrate, url, migrations)
    assert await count(database) == 0


def test_no_two_services_share_a_lock_or_a_table_of_versions() -> None:
    assert len({migrations.version_table for migrations in SERVICES}) == len(SERVICES)
    assert len({migrations.lock for migrations in SERVICES}) == len(SERVICES)


# --- transactions


async def test_what_a_block_wrote_is_gone_when_it_raises(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.writing() as connection:
            await connection.execute(text("UPDATE things SET count = 5"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await write_and_fail()
    assert await count(database) == 0


async def test_no_update_is_lost_between_processes_that_read_before_they_write(url: URL, database: Database) -> None:
    async def add(to: Database) -> None:
        for _ in range(10):
            async with to.writing() as connection:
                now = await connection.scalar(text(read))
                await connection.execute(text("UPDATE things SET count = :now + 1"), {"now": now})

    read = "SELECT count FROM things" if is_sqlite(url) else "SELECT count FROM things FOR UPDATE"
    async with connect(url, OPTIONS) as other:
        await asyncio.gather(*(add(to) for to in (database, other) for _ in range(3)))
    assert await count(database) == 60


async def test_a_reader_never_waits_for_a_writer(url: URL, database: Database) -> None:
    async with connect(url, OPTIONS) as other, database.writing() as connection:
        await connection.execute(text("UPDATE things SET count = 5"))
        assert await count(other) == 0
        assert await count(database) == 0
    assert await count(database) == 5


async def test_waiting_too_long_for_another_writer_raises_database_unavailable(url: URL, database: Database) -> None:
    async with connect(url, IMPATIENT) as first, connect(url, IMPATIENT) as other:
        # SQLite's writers of one process wait for each other. PostgreSQL ends an impatient session that idles.
        holder = first if is_sqlite(url) else database
        async with holder.writing() as connection:
            await connection.execute(text("UPDATE things SET count = 1"))
            for waiting in (first, other):
                with pytest.raises(DatabaseUnavailable):
                    async with asyncio.timeout(WITHIN_S), waiting.writing() as late:
                        await late.execute(text("UPDATE things SET count = 2"))

        async def is_added() -> bool:
            try:
                async with other.writing() as connection:
                    await connection.execute(text("UPDATE things SET count = count + 10"))
            except DatabaseUnavailable:  # the machine is slower than it is patient
                return False
            return True

        await eventually(is_added, WITHIN_S)
    assert await count(database) == 11


async def test_a_wrong_statement_is_not_called_away(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.writing() as connection:
            await connection.execute(text("INSERT INTO things VALUES ('one', 0)"))


async def test_a_missing_table_is_no_reason_to_wait_on_postgresql(postgres_database: str) -> None:
    with pytest.raises(ProgrammingError):
        async with connect(read_url(postgres_database), OPTIONS) as database:
            await count(database)


# --- a server that goes


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Start a server of this test's own, to be killed."""
    with Postgres() as server:
        yield server


async def test_a_server_that_was_killed_is_away_and_comes_back_by_itself(
    own_postgres: Postgres, migrations: Migrations
) -> None:
    url = read_url(own_postgres.url)
    await asyncio.to_thread(migrate, url, migrations)
    async with connect(url, OPTIONS) as database:
        assert await count(database) is None
        own_postgres.kill()
        with pytest.raises(DatabaseUnavailable):
            await count(database)
        with pytest.raises(DatabaseUnavailable):
            await asyncio.to_thread(migrate, url, migrations)
        own_postgres.start()

        async def is_back() -> bool:
            try:
                await count(database)
            except DatabaseUnavailable:
                return False
            return True

        await eventually(is_back, WITHIN_S)
