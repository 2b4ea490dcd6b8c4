"""SQLAlchemy's engines as iMSG wants them: durable, bounded, and with SQLite's transactions begun on purpose."""

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

from imsg_database.address import is_sqlite, make_file
from imsg_database.dialing import dial
from imsg_database.sessions import CONNECT_TIMEOUT_S, Session
from imsg_database.unlocking import Unlocking, connect

_POOLED = "imsg_pooled"
"""In a connection's info where somebody stands between us and PostgreSQL, who shares its sessions out."""

_USED_AT = "imsg_used_at"
"""In a connection's info, when it came back to the pool."""

FRESH_S = 1.0
"""How long a connection that was used is taken to be well."""

_READ_ONLY = "25006"
"""PostgreSQL's code for a write at a standby."""

_ENDED = ("08", "57P0")
"""Codes of a connection that has ended, or is being ended by the server."""

ROWS = 16
"""Rows of one INSERT with RETURNING on SQLite.

SQLAlchemy writes a statement for each number of rows, and sqlite3 keeps each, prepared: one of 250 rows takes 250 KB.
At up to 500 rows a batch ten connections kept 128 of them each, and `imsg up` grew by 400 MiB.
"""

STATEMENTS = 64
"""Prepared statements that sqlite3 keeps for a connection: what each batch uses, and some of every number of values."""

BEGIN = "imsg_begin"
"""The option of a connection that says how SQLite begins, such as IMMEDIATE; without it each statement is alone."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a service asks of its database."""

    name: str
    """What PostgreSQL shows as the connection's application."""
    pool: int = 10
    """Connections kept; as many again may be open for a while."""
    busy_timeout_s: float = 4
    """How long a writer of SQLite waits for one of another process."""
    statement_timeout_s: float | None = 4
    """How long PostgreSQL lets a statement take, its waits for locks included; None where the service bounds it.

    Four seconds are below the five after which callers give up.
    """
    is_tried_first: bool = True
    """Whether a connection of the pool that was idle is tried before it is used; else the service tries again."""


@asynccontextmanager
async def open_engine(url: URL, terms: Terms) -> AsyncIterator[AsyncEngine]:
    """Open a database for as long as the context lasts; connections are made when they are needed.

    Raises StartError where SQLite's file can't be made.
    """
    pool: dict[str, Any] = {"pool_size": terms.pool, "max_overflow": terms.pool, "pool_timeout": CONNECT_TIMEOUT_S}
    if is_sqlite(url):
        make_file(url)
        pool["insertmanyvalues_page_size"] = ROWS
        pool["pool_use_lifo"] = True  # the others fill no cache: each has a thread and some MiB
        local = {**_local(terms), "async_creator_fn": connect}
        engine = create_async_engine(url.set(drivername="sqlite+aiosqlite"), connect_args=local, **pool)
        _keep_sqlite_in_order(engine.sync_engine)
    else:
        engine = create_async_engine(url, **pool)
        _connect_by(engine.sync_engine, url, Session(terms.name, _bounds_ms(terms.statement_timeout_s)))
        _leave_what_is_no_use(engine.sync_engine)
        if terms.is_tried_first:
            _try_first(engine.sync_engine)
    try:
        yield engine
    finally:
        await engine.dispose()


def is_postgres(opened: AsyncConnection | AsyncEngine) -> bool:
    """Return whether the database is PostgreSQL; the other is SQLite."""
    return opened.dialect.name == "postgresql"


@contextmanager
def open_file(url: URL, terms: Terms) -> Iterator[Engine]:
    """Open SQLite's file without an event loop, for migrations. Raises StartError where it can't be made."""
    make_file(url)
    engine = create_engine(url, connect_args=_local(terms), poolclass=NullPool)
    _keep_sqlite_in_order(engine)
    try:
        yield engine
    finally:
        engine.dispose()


def _local(terms: Terms) -> dict[str, Any]:
    return {"timeout": terms.busy_timeout_s, "factory": Unlocking, "cached_statements": STATEMENTS}


def _bounds_ms(timeout_s: float | None) -> dict[str, int]:
    """Bound what a statement takes, and for how long a client may stop in the middle of its transaction."""
    if timeout_s is None:
        return {}
    timeout_ms = round(timeout_s * 1000)
    return {"statement_timeout": timeout_ms, "idle_in_transaction_session_timeout": timeout_ms * 3}


def _connect_by(engine: Engine, url: URL, session: Session) -> None:
    """Have connections come about as `dialing` makes them, and their transactions bounded.

    A session of our own is bounded once. Behind a pooler it is everybody's, and what one sets for it others get: there
    each transaction is bounded by itself, by one statement more.
    """

    @event.listens_for(engine, "do_connect")
    def on_connect(dialect: Dialect, record: ConnectionPoolEntry, *_: Any) -> DBAPIConnection:  # noqa: ANN401
        opened = await_only(dial(url, session, record))
        record.info[_POOLED] = opened.is_pooled
        return dialect.connect(**opened.arguments())

    if not session.bounds_ms:
        return

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if connection.info.get(_POOLED):
            local = ", ".join(f"set_config('{name}', '{bound}', true)" for name, bound in session.bounds_ms.items())
            connection.exec_driver_sql(f"SELECT {local}")


def _leave_what_is_no_use(engine: Engine) -> None:
    """Drop a connection that is about to close, or on which a write met a standby.

    Where we come out next, behind the same name, takes writes.
    """

    @event.listens_for(engine, "handle_error")
    def on_error(context: ExceptionContext) -> None:
        state = getattr(context.original_exception, "sqlstate", None) or ""
        if state == _READ_ONLY or state.startswith(_ENDED):
            context.is_disconnect = True


def _try_first(engine: Engine) -> None:
    """Try a connection of the pool before it is used, where it has been idle for a while.

    One that the server has ended is known to be closed; what may have gone without a word costs three round trips to
    find out (a ping is a transaction, for poolers), which a busy service would pay for each of its transactions.
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


def _keep_sqlite_in_order(engine: Engine) -> None:
    """Let SQLAlchemy, not sqlite3, begin transactions: a writer takes the write lock at once.

    A reader that turns writer half-way gets SQLITE_BUSY without any wait, whatever the time-out says.
    """
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself: _begin_sqlite does
    cursor = connection.cursor()
    # WAL: readers never wait. FULL: what was acked or answered must survive a power cut.
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",  # what is removed is overwritten with zeros: an address must not be read from a free page
        "cache_size = -2000",  # KiB, of each connection; 8 MB each filled step by step, for minutes of load
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if mode := connection.get_execution_options().get(BEGIN):
        connection.exec_driver_sql(f"BEGIN {mode}")
