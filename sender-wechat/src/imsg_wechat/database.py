"""The database: opened by its URL alone, brought up to date at start, and its two kinds of transaction."""

import asyncio
import fcntl
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from imsg_shared.settings import StartError, variable

STATEMENT_TIMEOUT_S = 4
"""How long one statement, a row lock or SQLite's write lock may take: below the 5 s after which callers give up."""

START_TIMEOUT_S = 30
"""How long one starting process waits for another that prepares the same SQLite file."""

CONNECT_TIMEOUT_S = 5
POOL_SIZE = 10

MIGRATION_LOCK = zlib.crc32(b"imsg_wechat migrations")
"""PostgreSQL's advisory lock under which one of several starting processes migrates and the others wait."""

_WRITES = "imsg_writes"
_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}


class StoreAway(Exception):  # noqa: N818  a state of the world
    """The database did not answer, or not in time; unless it was the commit, nothing was changed."""


class Database:
    """One database. A writing transaction on SQLite takes the write lock when it begins; PostgreSQL locks rows."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{_WRITES: True})
        self._turn = asyncio.Lock() if engine.dialect.name == "sqlite" else None
        """Writers of this process queue up in order; those of others poll for the file's lock."""

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads. Raises StoreAway."""
        with _translated():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that may write; commits unless the block raises. Raises StoreAway."""
        async with self._in_turn():
            with _translated():
                async with self._writer.begin() as connection:
                    yield connection

    async def migrate(self) -> None:
        """Bring the tables up to date; safe when several processes start at once. Raises StoreAway."""
        async with _alone(self._engine.url), self.writing() as connection:
            if connection.dialect.name == "postgresql":
                await connection.execute(text("SET LOCAL statement_timeout = '5min'"))
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            await connection.run_sync(_upgrade)

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        if self._turn is None:
            yield
            return
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                await self._turn.acquire()
        except TimeoutError as error:
            raise StoreAway("too many wait to write") from error
        try:
            yield
        finally:
            self._turn.release()


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Database]:
    """Open the database at a URL, `sqlite:///PATH` or `postgresql://…`, for as long as the context lasts.

    Raises StartError where the URL is none of these or its folder can't be written.
    """
    parsed = _with_driver(url)
    if parsed.get_backend_name() == "sqlite":
        _make_file(parsed)
        engine = create_async_engine(parsed, pool_size=POOL_SIZE)
        event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    else:
        engine = create_async_engine(
            parsed,
            pool_size=POOL_SIZE,
            max_overflow=POOL_SIZE,
            pool_timeout=STATEMENT_TIMEOUT_S,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )
        event.listen(engine.sync_engine, "connect", _prepare_postgresql)
    try:
        yield Database(engine)
    finally:
        await engine.dispose()


def _with_driver(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StartError(f"{variable('database_url')} is no URL; write sqlite:///PATH or postgresql://…") from error
    scheme = parsed.drivername.partition("+")[0]
    if scheme not in _DRIVERS or (scheme == "sqlite" and not parsed.database):
        raise StartError(f"{variable('database_url')} must be sqlite:///PATH or postgresql://…")
    return parsed.set(drivername=_DRIVERS[scheme])


def _make_file(url: URL) -> None:
    """Make the file, for its owner's eyes; SQLite gives its companions the same mode."""
    path = Path(url.database or "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StartError(
            f"the file {path} of {variable('database_url')} can't be written ({error.strerror}); choose another."
        ) from error


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: _begin_sqlite does
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {STATEMENT_TIMEOUT_S * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_postgresql(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{STATEMENT_TIMEOUT_S * 3}s'")
    cursor.close()
    connection.commit()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeoutError, OSError) as error:
        raise StoreAway(_told(error)) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise StoreAway(_told(error)) from error


def _told(error: Exception) -> str:
    """Give the database's own words, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).strip() or type(error).__name__


@asynccontextmanager
async def _alone(url: URL) -> AsyncIterator[None]:
    """Be the only process that prepares a SQLite file: its switch to WAL fails instead of waiting for another's."""
    if url.get_backend_name() != "sqlite":
        yield
        return
    lock = Path(f"{url.database}.lock")
    with lock.open("w") as file:  # noqa: ASYNC230  a moment, at start
        async with asyncio.timeout(START_TIMEOUT_S):
            while not _locked(file.fileno()):  # noqa: ASYNC110  a lock of another process
                await asyncio.sleep(0.02)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
