"""The database behind history: SQLite or PostgreSQL by URL, transactions, and which errors mean what."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from imsg_shared.settings import StartError, variable

CONNECT_TIMEOUT_S = 3
QUERY_TIMEOUT_S = 4.0
"""How long a reader waits: below the 5 s after which its caller gives up."""

WRITE_TIMEOUT_S = 60.0
"""How long one transaction of the recorder may take; the largest batch takes a second or two."""

POLITE_S = 0.5
"""How long a server may take to cancel a query before the connection is closed."""

BUSY_TIMEOUT_S = 10
"""How long one writer of SQLite waits for another."""

POOL = 5

BEGIN = "sqlite_begin"
"""The option of a connection that says how SQLite begins; without it every statement stands alone."""

BAD_DATA = ("22", "23", "54")
"""Classes of SQLSTATE that blame the row: data exception, integrity, a limit exceeded (an index key too long)."""

CONTENTION = ("40", "55")
"""Classes that say another was in the way (deadlock, lock not available): the database itself is well."""

T = TypeVar("T")


class DatabaseAway(Exception):  # noqa: N818  a state of the world
    """The database can't do it now: down, locked, full, a deadlock. The same again later may go through."""


class BadRow(Exception):  # noqa: N818
    """The database will never take this: something in the row itself is wrong."""


class Database:
    """Connections from a pool; each unit of work is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # SQLite has one writer at a time; its own waiting polls, and whoever comes last may win.
        self._turn: AbstractAsyncContextManager[object] = nullcontext() if self.is_postgres else asyncio.Lock()
        self.available = False
        """Whether the last thing asked of it went through."""

    @property
    def is_postgres(self) -> bool:
        """Whether it is PostgreSQL; the other is SQLite."""
        return self._engine.dialect.name == "postgresql"

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Do work that only reads, each statement by itself; once more where the connection turned out to be dead.

        Raises DatabaseAway.
        """
        try:
            return await self._run(work, QUERY_TIMEOUT_S, self._reading)
        except DatabaseAway as away:
            if not _is_lost(away.__cause__):
                raise
        return await self._run(work, QUERY_TIMEOUT_S, self._reading)

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]], timeout_s: float = WRITE_TIMEOUT_S) -> T:
        """Do work and commit it: on durable storage when this returns. Raises DatabaseAway or BadRow."""
        async with self._turn:
            return await self._run(work, timeout_s, {BEGIN: "IMMEDIATE"})

    async def ping(self) -> None:
        """Ask for a sign of life; `available` holds the answer."""
        try:
            await self.read(lambda connection: connection.execute(text("SELECT 1")))
        except DatabaseAway:
            return

    @property
    def _reading(self) -> dict[str, str]:
        # No BEGIN and no ROLLBACK: two round trips less.
        return {"isolation_level": "AUTOCOMMIT"} if self.is_postgres else {}

    async def _done(self, work: Callable[[AsyncConnection], Awaitable[T]], options: dict[str, str]) -> T:
        async with self._engine.connect() as connection:
            await connection.execution_options(**options)
            async with connection.begin():
                return await work(connection)

    async def _run(
        self, work: Callable[[AsyncConnection], Awaitable[T]], timeout_s: float, options: dict[str, str]
    ) -> T:
        try:
            done = await bounded(self._done(work, options), timeout_s)
        except DBAPIError as error:
            if blames_the_row(error):
                self.available = True
                raise BadRow(str(error.orig)) from error
            self.available = _state(error)[:2] in CONTENTION
            raise DatabaseAway(str(error.orig)) from error
        except OverflowError as error:  # sqlite3's, of an integer over 64 bits
            raise BadRow(str(error)) from error
        except (PoolTimeout, OSError, TimeoutError) as error:
            self.available = False
            raise DatabaseAway(str(error) or type(error).__name__) from error
        self.available = True
        return done


async def bounded(work: Coroutine[Any, Any, T], timeout_s: float) -> T:
    """Do work within a time, or raise TimeoutError soon after it.

    A cancelled psycopg asks the server, politely and for ten seconds, to cancel the query. A server that hangs does
    not answer that either; a second cancellation makes psycopg close the connection.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if task.done():
            return task.result()
        raise TimeoutError(f"no answer within {timeout_s} s")
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=POLITE_S)
        if not task.cancelled():
            task.exception()  # seen: it is not what the caller is told


def blames_the_row(error: DBAPIError) -> bool:
    """Tell whether an error is the fault of what was written, so that repeating it can't help."""
    if state := _state(error):
        return state[:2] in BAD_DATA
    return isinstance(error.orig, sqlite3.IntegrityError | sqlite3.DataError)


def _state(error: DBAPIError) -> str:
    """Return PostgreSQL's SQLSTATE; nothing of SQLite's, and where no answer came."""
    return getattr(error.orig, "sqlstate", None) or ""


def _is_lost(error: BaseException | None) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def read_url(url: str) -> URL:
    """Read `sqlite:///path` or `postgresql://…`. Raises StartError for anything else."""
    name = variable("database_url")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StartError(f"{name} is no URL; write sqlite:///path or postgresql://user:password@host/name.") from error
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StartError(f"{name} must name a file, as sqlite:///path does, since several connections share it.")
        return parsed.set(drivername="sqlite")
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return parsed.set(drivername="postgresql+psycopg")
    raise StartError(f"{name} must begin with sqlite:/// or postgresql://.")


def open_engine(url: URL) -> Engine:
    """Open the database without the event loop: for migrations, before the service serves."""
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
        _keep_sqlite_in_order(engine)
        return engine
    return create_engine(url, connect_args=_postgres_arguments())


@asynccontextmanager
async def connect(url: URL) -> AsyncIterator[Database]:
    """Open the database for as long as the context lasts; connections are made when they are needed."""
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(
            url.set(drivername="sqlite+aiosqlite"), connect_args={"timeout": BUSY_TIMEOUT_S}, pool_size=POOL
        )
        _keep_sqlite_in_order(engine.sync_engine)
    else:
        engine = create_async_engine(
            url, connect_args=_postgres_arguments(), pool_size=POOL, max_overflow=POOL, pool_timeout=CONNECT_TIMEOUT_S
        )
    try:
        yield Database(engine)
    finally:
        await engine.dispose()


def _postgres_arguments() -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": "imsg-history",
        # Planned anew with its values each time, for a millisecond: the plan that PostgreSQL keeps for a prepared
        # statement knows neither the user nor how few rows LIMIT wants, and sorts a big user's whole history.
        "prepare_threshold": None,
        # A peer that vanished without a word is noticed within seconds, not after the kernel's quarter of an hour.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 8_000,
    }


def _keep_sqlite_in_order(engine: Engine) -> None:
    """Let SQLAlchemy, not sqlite3, begin transactions: a writer takes the write lock at once.

    A reader that turns writer half-way gets SQLITE_BUSY without any wait, whatever the time-out says.
    """

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: object) -> None:  # noqa: ANN401  sqlite3 or its asyncio wrapper
        connection.isolation_level = None
        cursor = connection.cursor()
        # WAL: readers never wait. FULL: what is acked to the broker must survive a power cut.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "cache_size = -8000", "temp_store = MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:  # noqa: ANN401  SQLAlchemy's Connection, typed loosely by its events
        if mode := connection.get_execution_options().get(BEGIN):
            connection.exec_driver_sql(f"BEGIN {mode}")
