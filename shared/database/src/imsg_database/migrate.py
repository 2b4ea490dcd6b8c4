"""Run a service's migrations at start; of several processes that start at once, one runs them."""

import asyncio
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, Engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from imsg_database.address import is_sqlite
from imsg_database.engines import BEGIN, DatabaseOptions, open_engine, open_file
from imsg_database.unavailable import describe, is_unavailable, translate
from imsg_runtime.logs import logger
from imsg_runtime.settings import StartError

log = logger(__name__)

LOCK_TIMEOUT_S = 60
"""How long a process waits while another migrates."""

ADDING_DIGITS = 2
"""The last digits of a migration's number: within a hundred, migrations only add."""

OPTIONS = DatabaseOptions("imsg-migrations", pool=1, busy_timeout_s=LOCK_TIMEOUT_S, statement_timeout_s=None)
ENVIRONMENT = Path(__file__).with_name("environment")

_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps its state in module globals: one service of `imsg up` migrates at a time, each in a thread."""


@dataclass(frozen=True, slots=True)
class Migrations:
    """A service's Alembic migrations."""

    folder: Path
    """The folder with one module a migration."""
    version_table: str
    """The table that holds the number of the last migration: each service has its own, since two may share a database.
    """

    @property
    def head(self) -> str:
        """The number of the newest migration, at the end of its module's name.

        A number has four digits. A migration that only adds takes the next number: older versions go on working on its
        tables. One that takes something away, or changes what is there, begins another hundred.
        """
        return max(path.stem.rpartition("_")[2] for path in self.folder.glob("*_*.py"))

    @property
    def lock(self) -> int:
        """PostgreSQL's advisory lock under which one of several starting processes migrates and the others wait."""
        return zlib.crc32(f"imsg {self.version_table}".encode())


def read_version(url: URL, migrations: Migrations) -> str | None:
    """Return the number of the last migration that a database has, None without any; call it in a thread.

    Raises DatabaseUnavailable.
    """
    versions: list[str | None] = []

    def read(connection: Connection) -> None:
        versions.append(_read_version(connection, migrations.version_table))

    with translate():
        if not is_sqlite(url):
            asyncio.run(_run_locked(url, migrations.lock, read))
        elif Path(url.database or "").exists():
            with open_file(url, OPTIONS) as engine, engine.connect() as connection:
                read(connection)
    return versions[0] if versions else None


def migrate(url: URL, migrations: Migrations, then: Callable[[Connection], None] | None = None) -> None:
    """Run the missing migrations, and `then`, in one transaction; call it in a thread.

    The first of several processes does it, the others wait for it. Tables of a later version, from which iMSG was
    rolled back, are left as they are. Raises DatabaseUnavailable, and StartError where SQLite's file can't be created,
    the tables are of a version on which this one can't work, or a migration fails: it leaves them as they were.
    """

    def bring_up(connection: Connection) -> None:
        version = _read_version(connection, migrations.version_table)
        if version is not None and _is_later(version, migrations.head):
            _require_readable(version, migrations)
        elif version != migrations.head:
            try:
                _upgrade(connection, migrations)
            except DBAPIError as error:
                if is_unavailable(error):
                    raise
                raise StartError(
                    "the tables can't be brought to migration {0} of {1} ({2}). They are as they were: the "
                    "version before still works on them.",
                    migrations.head,
                    migrations.version_table,
                    describe(error),
                ) from error
        if then is not None:
            then(connection)

    with translate():
        if is_sqlite(url):
            with _lock_file(url) as connection:
                bring_up(connection)
        else:
            asyncio.run(_run_locked(url, migrations.lock, bring_up))  # a loop of this thread's own


def _read_version(connection: Connection, table: str) -> str | None:
    if not inspect(connection).has_table(table):
        return None
    version = connection.scalar(text(f"SELECT version_num FROM {table}"))  # noqa: S608  a service's own name
    return None if version is None else str(version)


def _is_later(version: str, head: str) -> bool:
    """Return whether tables are of a migration newer than `head`: numbers are of equal length, and rise."""
    return len(version) == len(head) and version > head


def _require_readable(version: str, migrations: Migrations) -> None:
    """Accept tables to which newer migrations have only added. Raises StartError."""
    if version[:-ADDING_DIGITS] != migrations.head[:-ADDING_DIGITS]:
        raise StartError(
            "the tables are of a later version (migration {0} of {1}, this one knows {2}), on which "
            "this one can't work; start that version again, or restore a backup that this one made.",
            version,
            migrations.version_table,
            migrations.head,
        )
    log.warning("tables_later", table=migrations.version_table, version=version, known=migrations.head)


def _upgrade(connection: Connection, migrations: Migrations) -> None:
    config = Config()
    config.set_main_option("script_location", _escape(ENVIRONMENT))
    config.set_main_option("version_locations", _escape(migrations.folder))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = migrations.version_table
    with _ONE_AT_A_TIME:
        command.upgrade(config, "head")


def _escape(path: Path) -> str:
    return str(path).replace("%", "%%")


async def _run_locked(url: URL, lock: int, work: Callable[[Connection], None]) -> None:
    """Call `work` in one transaction of PostgreSQL, under an advisory lock."""
    async with open_engine(url, OPTIONS) as engine, engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
        await connection.execute(select(func.pg_advisory_xact_lock(lock)))
        await connection.run_sync(work)


@contextmanager
def _lock_file(url: URL) -> Iterator[Connection]:
    """Open SQLite's file for one exclusive transaction."""
    with open_file(url, OPTIONS) as engine, _open_patiently(engine) as connection:
        connection.execution_options(**{BEGIN: "EXCLUSIVE"})
        with connection.begin():
            yield connection


def _open_patiently(engine: Engine) -> Connection:
    """Connect to SQLite; while another process changes a new file to WAL, it answers "locked" without a wait."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            return engine.connect()
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
