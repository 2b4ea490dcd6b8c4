"""SQLAlchemy's engines as iMSG wants them: durable, bounded, and with SQLite's transactions begun on purpose."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from imsg_database.address import is_sqlite, make_file
from imsg_database.awaiting import AsyncEngine

CONNECT_TIMEOUT_S = 3
"""How long a connection may take to come about, or one of the pool to become free."""

UNREPLICATED = "imsg_unreplicated"
"""In a connection's info once a commit came back that no synchronous standby had confirmed."""

_POOLED = "imsg_pooled"
"""In a connection's info where somebody stands between us and PostgreSQL, who shares its sessions out."""

_READ_ONLY = "25006"
"""PostgreSQL's code for a write at a standby."""

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
    """Whether a connection of the pool is tried before it is used, a round trip; else the service tries again."""


@asynccontextmanager
async def open_engine(url: URL, terms: Terms) -> AsyncIterator[AsyncEngine]:
    """Open a database for as long as the context lasts; connections are made when they are needed.

    Raises StartError where SQLite's file can't be made.
    """
    pool: dict[str, Any] = {"pool_size": terms.pool, "max_overflow": terms.pool, "pool_timeout": CONNECT_TIMEOUT_S}
    if is_sqlite(url):
        make_file(url)
        engine = create_engine(url.set(drivername="sqlite+aiosqlite"), connect_args=_local(terms), **pool)
        _keep_sqlite_in_order(engine)
    else:
        pool["pool_pre_ping"] = terms.is_tried_first
        engine = create_engine(url.set(drivername="postgresql+psycopg_async"), connect_args=_reach(terms), **pool)
        _bound_statements(engine, terms.statement_timeout_s)
        _leave_standbys(engine)
        event.listen(engine, "connect", _hear_what_is_not_replicated)
    awaited = AsyncEngine(engine)
    try:
        yield awaited
    finally:
        await awaited.dispose()


@contextmanager
def open_sync_engine(url: URL, terms: Terms) -> Iterator[Engine]:
    """Open a database without an event loop, and without a bound on its statements: for migrations."""
    if is_sqlite(url):
        make_file(url)
        engine = create_engine(url, connect_args=_local(terms), poolclass=NullPool)
        _keep_sqlite_in_order(engine)
    else:
        engine = create_engine(url, connect_args=_reach(terms), poolclass=NullPool)
    try:
        yield engine
    finally:
        engine.dispose()


def _local(terms: Terms) -> dict[str, Any]:
    # Loaded only where SQLite is used: a MiB of it is of no use to who has PostgreSQL.
    from imsg_database.unlocking import Unlocking  # noqa: PLC0415

    return {"timeout": terms.busy_timeout_s, "factory": Unlocking}


def _reach(terms: Terms) -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": terms.name,
        # Planned anew with its values each time, for a millisecond: the plan that PostgreSQL keeps for a prepared
        # statement knows neither the user nor how few rows LIMIT wants, and sorts a big user's whole history.
        "prepare_threshold": None,
        # A peer that vanished without a word is noticed within seconds, not after the kernel's quarter of an hour.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 8_000,
    }


def _bound_statements(engine: Engine, timeout_s: float | None) -> None:
    """Bound what a statement takes, and for how long a client may stop in the middle of its transaction.

    For the session where it is ours. Behind a pooler, such as PgBouncer by transactions, the session is everybody's,
    and what one sets for it others get: there each transaction is bounded by itself, by one statement more.
    """
    if timeout_s is None:
        return
    timeout_ms = round(timeout_s * 1000)
    bounds = {"statement_timeout": timeout_ms, "idle_in_transaction_session_timeout": timeout_ms * 3}

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401  psycopg's, as SQLAlchemy wraps it
        cursor = connection.cursor()
        cursor.execute("SELECT pg_backend_pid()")
        record.info[_POOLED] = cursor.fetchone()[0] != connection.driver_connection.info.backend_pid
        if not record.info[_POOLED]:
            for name, bound_ms in bounds.items():
                cursor.execute(f"SET {name} = {bound_ms}")
        cursor.close()
        connection.commit()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        if connection.info.get(_POOLED):
            local = ", ".join(f"set_config('{name}', '{bound_ms}', true)" for name, bound_ms in bounds.items())
            connection.exec_driver_sql(f"SELECT {local}")


def _leave_standbys(engine: Engine) -> None:
    """Drop a connection on which a write met a standby: where we come out next, behind the same name, takes writes."""

    @event.listens_for(engine, "handle_error")
    def on_error(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
            context.is_disconnect = True


def _hear_what_is_not_replicated(connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401
    """Note a commit that gave up waiting for its synchronous standby: PostgreSQL warns, and calls it done."""

    def on_notice(diagnostic: Any) -> None:  # noqa: ANN401
        if diagnostic.source_function == "SyncRepWaitForLSN":
            record.info[UNREPLICATED] = True

    connection.driver_connection.add_notice_handler(on_notice)


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
        "cache_size = -8000",
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if mode := connection.get_execution_options().get(BEGIN):
        connection.exec_driver_sql(f"BEGIN {mode}")
