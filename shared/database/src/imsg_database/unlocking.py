"""SQLite connections that leave no lock behind, and end once, however often they are told to."""

import asyncio
import sqlite3
from functools import partial
from typing import Any

import aiosqlite

_ROWS = 64
"""How many rows are fetched at once where rows are streamed: aiosqlite's own."""


class Unlocking(sqlite3.Connection):
    """A connection whose close ends its transaction, also where somebody still holds a cursor.

    SQLite only closes once the last statement is finalized, and until then the lock of an open transaction stays: a
    statement with RETURNING whose caller was cancelled is kept by the traceback until garbage is collected.
    (https://sqlite.org/c3ref/close.html)
    """

    _is_closed = False

    def close(self) -> None:
        """Roll back what is open, then close; a second time do nothing."""
        if self._is_closed:
            return
        if self.in_transaction:
            self.rollback()
        self._is_closed = True
        super().close()


class EndedOnce(aiosqlite.Connection):
    """A connection whose thread is told to end once.

    SQLAlchemy stops a connection that it is just closing where whoever waits for that is cancelled as well. Behind the
    first end that the thread takes nothing is carried out, and what waits for it waits for ever.
    """

    _end: "asyncio.Future[Any] | None" = None

    def stop(self) -> "asyncio.Future[Any] | None":
        """Tell the thread to end; return what is done when it has."""
        if self._end is None:
            self._end = super().stop()
        return self._end


def connect(database: str, **options: Any) -> EndedOnce:  # noqa: ANN401  of sqlite3.connect
    """Make a connection that is open once it is awaited, as `aiosqlite.connect` does."""
    connection = EndedOnce(partial(sqlite3.connect, database, **options), _ROWS)
    connection._thread.daemon = True  # noqa: SLF001  as SQLAlchemy has it for those that it makes
    return connection
