"""SQLite connections that release their lock when they close, and stop their thread once."""

import asyncio
import sqlite3
from functools import partial
from typing import Any

import aiosqlite

_ROWS_PER_FETCH = 64
"""Rows fetched at once from a streamed result: aiosqlite's default."""


class RollingBackConnection(sqlite3.Connection):
    """A connection that rolls back before it closes, so that an open cursor keeps no lock.

    SQLite closes a connection only after its last statement is finalized, and keeps the lock of an open transaction
    until then (https://sqlite.org/c3ref/close.html). The traceback of a cancelled caller holds such a statement until
    garbage is collected.
    """

    _is_closed = False

    def close(self) -> None:
        """Roll back an open transaction, then close; a second call does nothing."""
        if self._is_closed:
            return
        if self.in_transaction:
            self.rollback()
        self._is_closed = True
        super().close()


class StopOnceConnection(aiosqlite.Connection):
    """A connection that stops its thread once.

    SQLAlchemy calls `stop` again where the task that closes a connection is cancelled. The thread runs nothing after
    the first stop, so that a second one would wait for ever.
    """

    _end: "asyncio.Future[Any] | None" = None

    def stop(self) -> "asyncio.Future[Any] | None":
        """Stop the thread; return the future that is done once it has stopped."""
        if self._end is None:
            self._end = super().stop()
        return self._end


def connect(database: str, **options: Any) -> StopOnceConnection:  # noqa: ANN401  of sqlite3.connect
    """Return a connection that opens when it is awaited, like `aiosqlite.connect`."""
    connection = StopOnceConnection(partial(sqlite3.connect, database, **options), _ROWS_PER_FETCH)
    connection._thread.daemon = True  # noqa: SLF001  as SQLAlchemy does for its own
    return connection
