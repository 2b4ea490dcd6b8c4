"""SQLAlchemy engines with durable writes, timeouts, and explicit BEGIN on SQLite."""

import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, NullPool
from sqlalchemy.util import await_only

from imsg_database.address import create_file, is_sqlite
from imsg_database.dialing import dial
from imsg_database.sessions import CONNECT_TIMEOUT_S, Session
from imsg_database.sqlite_connections import RollingBackConnection, connect

_BEHIND_POOLER = "imsg_pooled"
"""The key in a connection's info: whether a pooler shares its session among clients."""

_USED_AT = "imsg_used_at"
"""The key in a connection's info: when it was returned to the pool (monotonic seconds)."""

FRESH_S = 1.0
"""A connection used within this time is not checked before its next use."""

_READ_ONLY = "25006"
"""PostgreSQL's code for a write at a standby."""

_DISCONNECTED = ("08", "57P0")
"""SQLSTATE prefixes of a connection that has ended, or that the server is ending."""

ROWS_PER_INSERT = 16
"""Rows of one INSERT with RETURNING on SQLite.

SQLAlchemy writes a statement for each number of rows, and sqlite3 caches each prepared statement: one of 250 rows takes
250 KB, so that batches of up to 500 rows would take 400 MiB on ten connections.
"""

STATEMENTS = 64
"""The most prepared statements that sqlite3 caches for a connection."""

BEGIN = "imsg_begin"
"""The execution option with the mode of SQLite's BEGIN, such as IMMEDIATE; without it each statement commits itself."""


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """A service's options of its database."""

    name: str
    """`application_name` in PostgreSQL."""
    pool: int = 10
    """The size of the pool; as many more connections may be open for a while."""
    busy_timeout_s: float = 4
    """How long a writer of SQLite waits for the write lock."""
    statement_timeout_s: float | None = 4
    """PostgreSQL's `statement_timeout`, which includes waits for locks; None: no limit.

    Four seconds are below the five after which callers give up.
    """
    checks_idle: bool = True
    """Whether an idle connection is pinged before its next use. Without, the service itself repeats what failed."""


@asynccontextmanager
async def open_engine(url: URL, options: DatabaseOptions) -> AsyncIterator[AsyncEngine]:
    """Open a database for as long as the context lasts; connections are made when they are needed.

    Raises StartError where SQLite's file can't be made.
    """
    pool: dict[str, Any] = {"pool_size": options.pool, "max_overflow": options.pool, "pool_timeout": CONNECT_TIMEOUT_S}
    if is_sqlite(url):
        create_file(url)
        pool["insertmanyvalues_page_size"] = ROWS_PER_INSERT
        pool["pool_use_lifo"] = True  # few connections stay in use: each has a thread and a cache of some MiB
        local = {**_sqlite_arguments(options), "async_creator_fn": connect}
        engine = create_async_engine(url.set(drivername="sqlite+aiosqlite"), connect_args=local, **pool)
        _configure_sqlite(engine.sync_engine)
    else:
        engine = create_async_engine(url, **pool)
        _use_dial(engine.sync_engine, url, Session(options.name, _bounds_ms(options.statement_timeout_s)))
        _drop_useless_connections(engine.sync_engine)
        if options.checks_idle:
            _check_idle(engine.sync_engine)
    try:
        yield engine
    finally:
        await engine.dispose()


def is_postgres(connection: AsyncConnection | AsyncEngine) -> bool:
    """Return whether the database is PostgreSQL; the other is SQLite."""
    return connection.dialect.name == "postgresql"


@contextmanager
def open_file(url: URL, options: DatabaseOptions) -> Iterator[Engine]:
    """Open SQLite's file without an event loop, for migrations. Raises StartError where it can't be made."""
    create_file(url)
    engine = create_engine(url, connect_args=_sqlite_arguments(options), poolclass=NullPool)
    _configure_sqlite(engine)
    try:
        yield engine
    finally:
        engine.dispose()


def _sqlite_arguments(options: DatabaseOptions) -> dict[str, Any]:
    return {"timeout": options.busy_timeout_s, "factory": RollingBackConnection, "cached_statements": STATEMENTS}


def _bounds_ms(timeout_s: float | None) -> dict[str, int]:
    """Return the settings that limit a statement's time and the idle time within a transaction (ms)."""
    if timeout_s is None:
        return {}
    timeout_ms = round(timeout_s * 1000)
    return {"statement_timeout": timeout_ms, "idle_in_transaction_session_timeout": timeout_ms * 3}


def _use_dial(engine: Engine, url: URL, session: Session) -> None:
    """Make the engine connect by `dialing.dial`, and set the timeouts of transactions behind a pooler.

    A session of our own has its timeouts from `dial`. A pooler shares its sessions among clients, so that there each
    transaction sets its own timeouts, by one more statement.
    """

    @event.listens_for(engine, "do_connect")
    def on_connect(dialect: Dialect, record: ConnectionPoolEntry, *_: Any) -> DBAPIConnection:  # noqa: ANN401
        dialed = await_only(dial(url, session, record))
        record.info[_BEHIND_POOLER] = dialed.is_pooled
        return dialect.connect(**dialed.arguments())

    if not session.bounds_ms:
        return

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if connection.info.get(_BEHIND_POOLER):
            local = ", ".join(f"set_config('{name}', '{bound}', true)" for name, bound in session.bounds_ms.items())
            connection.exec_driver_sql(f"SELECT {local}")


def _drop_useless_connections(engine: Engine) -> None:
    """Drop a connection that the server is ending, or on which a write reached a standby.

    The next connection, by the same host name, goes to the new primary.
    """

    @event.listens_for(engine, "handle_error")
    def on_error(context: ExceptionContext) -> None:
        state = getattr(context.original_exception, "sqlstate", None) or ""
        if state == _READ_ONLY or state.startswith(_DISCONNECTED):
            context.is_disconnect = True


def _check_idle(engine: Engine) -> None:
    """Ping a connection of the pool before it is used, if it has been idle for `FRESH_S`.

    A ping is a transaction of three round trips, too much to add to each transaction of a busy service.
    """

    @event.listens_for(engine, "checkin")
    def on_checkin(_: object, record: ConnectionPoolEntry) -> None:
        record.info[_USED_AT] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def on_checkout(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        driver: Any = connection
        if driver.driver_connection.is_closed():
            raise DisconnectionError("the server has ended it")
        if record.info.get(_USED_AT, math.inf) + FRESH_S < time.monotonic():
            try:
                engine.dialect.do_ping(connection)
            except (engine.dialect.loaded_dbapi.Error, OSError) as error:
                raise DisconnectionError from error


def _configure_sqlite(engine: Engine) -> None:
    """Set the pragmas, and make SQLAlchemy, not sqlite3, begin transactions: a writer locks the database at once.

    A read transaction that begins to write gets SQLITE_BUSY without any wait, whatever the timeout.
    """
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # sqlite3 begins no transaction; _begin_sqlite does
    cursor = connection.cursor()
    # WAL: readers never wait. FULL: what was acked or answered must survive a power cut.
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",  # deleted data is overwritten: no address may remain in a free page
        "cache_size = -2000",  # KiB for each connection
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if mode := connection.get_execution_options().get(BEGIN):
        connection.exec_driver_sql(f"BEGIN {mode}")
