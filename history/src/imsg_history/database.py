"""The database as history uses it: every transaction within a time, and errors that blame a row."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import URL, Executable, Row, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imsg_database.engines import BEGIN, DatabaseOptions, open_engine
from imsg_database.unavailable import DatabaseUnavailable, find_state, is_value_error
from imsg_database.write_health import WriteHealth
from imsg_history.tables import metadata
from imsg_runtime.logs import logger

log = logger(__name__)

QUERY_TIMEOUT_S = 4.0
"""How long a read may take: below the 5 s after which its caller gives up."""

WRITE_TIMEOUT_S = 60.0
"""How long a writing transaction may take; the largest batch takes a second or two."""

PURGE_TIMEOUT_S = 600.0
"""How long a VACUUM may take; gigabytes take minutes."""

POLITE_S = 0.5
"""How long a server may take to cancel a query before the connection is closed."""

CANCELLATIONS = 40
"""How often work is cancelled before it is abandoned: a driver that never ends must not block its caller."""

OPTIONS = DatabaseOptions("imsg-history", pool=5, busy_timeout_s=10, statement_timeout_s=None, checks_idle=False)
"""History bounds its work itself, since a server that hangs cancels no statement. It repeats reads that met a dead
connection, so that none has to be tried first."""

CONTENTION = ("40", "55")
"""Classes of contention (deadlock, lock not available): the database itself is healthy."""

MOVED = "23514"
"""A check constraint was violated. History's tables have none: a partition was created while the row was inserted into
the default partition. The same insert succeeds when it is repeated."""

T = TypeVar("T")


class BadRow(Exception):  # noqa: N818
    """The database refuses a row whatever its state: a value is wrong."""


class Database:
    """Connections from a pool; each unit of work is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # SQLite has one writer at a time; its own waiting polls, which is not fair.
        self._write_lock: AbstractAsyncContextManager[object] = nullcontext() if self.is_postgres else asyncio.Lock()
        self._writes = WriteHealth()
        self.available = False
        """Whether the last statement succeeded."""

    @property
    def takes_writes(self) -> bool:
        """Whether the database has refused no write lately: a full disk, read-only, or a missing right."""
        return self._writes.is_well

    @property
    def is_postgres(self) -> bool:
        """Whether it is PostgreSQL; the other is SQLite."""
        return self._engine.dialect.name == "postgresql"

    async def read(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run work that only reads, each statement by itself; repeat it once where the connection was dead.

        Raises DatabaseUnavailable.
        """
        try:
            return await self._run(work, QUERY_TIMEOUT_S, self._reading)
        except DatabaseUnavailable as error:
            if not _is_lost(error.__cause__):
                raise
        return await self._run(work, QUERY_TIMEOUT_S, self._reading)

    async def write(self, work: Callable[[AsyncConnection], Awaitable[T]], timeout_s: float = WRITE_TIMEOUT_S) -> T:
        """Run work and commit it durably. Raises DatabaseUnavailable or BadRow."""
        async with self._write_lock:
            with self._writes.watch():
                return await self._run(work, timeout_s, {BEGIN: "IMMEDIATE"})

    async def fetch(self, statement: Executable) -> Sequence[Row[Any]]:
        """Read the rows of a statement. Raises DatabaseUnavailable."""
        return (await self.read(lambda connection: connection.execute(statement))).all()

    async def first(self, statement: Executable) -> Row[Any] | None:
        """Read the first row of a statement; None without one. Raises DatabaseUnavailable."""
        return next(iter(await self.fetch(statement)), None)

    async def scalar(self, statement: Executable) -> Any:  # noqa: ANN401  a column's value
        """Read the first column of a statement's first row; None without a row. Raises DatabaseUnavailable."""
        return await self.read(lambda connection: connection.scalar(statement))

    async def execute(self, statement: Executable) -> None:
        """Execute a statement that writes, and commit it. Raises DatabaseUnavailable or BadRow."""
        await self.write(lambda connection: connection.execute(statement))

    async def ping(self) -> None:
        """Check that the database answers, and set `available`."""
        try:
            await self.read(lambda connection: connection.execute(text("SELECT 1")))
        except DatabaseUnavailable:
            return

    async def purge(self) -> None:
        """Remove deleted data from the database's files; PostgreSQL's WAL and replicas are up to the operator.

        Raises DatabaseUnavailable.
        """
        statements = (
            [f"VACUUM {table.name}" for table in metadata.sorted_tables]
            if self.is_postgres
            else ["VACUUM main", "PRAGMA wal_checkpoint(TRUNCATE)"]
        )

        async def clean() -> None:
            async with self._engine.connect() as connection:
                if self.is_postgres:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                for statement in statements:
                    row = await connection.execute(text(statement))
                    if row.returns_rows and row.scalar_one():  # of SQLite's checkpoint: a reader was in the way
                        raise TimeoutError("a reader kept the log from being emptied")

        async with self._write_lock:
            try:
                await finish_within(clean(), PURGE_TIMEOUT_S)
            except (DBAPIError, PoolTimeout, OSError, TimeoutError) as error:
                raise DatabaseUnavailable(str(error) or type(error).__name__) from error

    async def now(self) -> datetime:
        """Return the time of the database's clock; SQLite has this machine's. Raises DatabaseUnavailable."""
        if not self.is_postgres:
            return datetime.now(UTC)
        now: datetime = await self.scalar(select(func.clock_timestamp()))
        return now

    @property
    def _reading(self) -> dict[str, str]:
        # No BEGIN and no ROLLBACK: two round trips less.
        return {"isolation_level": "AUTOCOMMIT"} if self.is_postgres else {}

    async def _work(self, work: Callable[[AsyncConnection], Awaitable[T]], options: dict[str, str]) -> T:
        async with self._engine.connect() as connection:
            await connection.execution_options(**options)
            async with connection.begin():
                return await work(connection)

    async def _run(
        self, work: Callable[[AsyncConnection], Awaitable[T]], timeout_s: float, options: dict[str, str]
    ) -> T:
        try:
            done = await finish_within(self._work(work, options), timeout_s)
        except DBAPIError as error:
            if blames_the_row(error):
                self.available = True
                raise BadRow(str(error.orig)) from error
            state = find_state(error)
            self.available = state[:2] in CONTENTION or state == MOVED
            raise DatabaseUnavailable(str(error.orig)) from error
        except OverflowError as error:  # sqlite3's, of an integer over 64 bits
            raise BadRow(str(error)) from error
        except (PoolTimeout, OSError, TimeoutError) as error:
            self.available = False
            raise DatabaseUnavailable(str(error) or type(error).__name__) from error
        self.available = True
        return done


async def finish_within(work: Coroutine[Any, Any, T], timeout_s: float, *, cancellations: int = CANCELLATIONS) -> T:
    """Run work within a time, or raise TimeoutError soon after it.

    A cancelled driver asks the server for seconds to cancel the query. A server that hangs does not answer that either;
    a second cancellation makes SQLAlchemy close the connection. Cancellations are counted, and not timed, since a clock
    goes on while the event loop is blocked.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if task.done():
            return task.result()
        raise TimeoutError(f"no answer within {timeout_s} s")
    finally:
        for _ in range(cancellations):
            if task.done():
                break
            task.cancel()
            await asyncio.wait({task}, timeout=POLITE_S)
        if not task.done():
            log.error("database_work_abandoned")
        elif not task.cancelled():
            task.exception()  # retrieved: the caller gets the time-out


def blames_the_row(error: DBAPIError) -> bool:
    """Return whether an error is the fault of the written row, so that repeating it can't help."""
    return find_state(error) != MOVED and is_value_error(error)


def _is_lost(error: BaseException | None) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


@asynccontextmanager
async def connect(url: URL) -> AsyncIterator[Database]:
    """Open the database for as long as the context lasts; connections are made when they are needed.

    Raises StartError where SQLite's file can't be made.
    """
    async with open_engine(url, OPTIONS) as engine:
        yield Database(engine)
