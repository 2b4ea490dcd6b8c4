"""SQLite connections that leave no lock behind."""

import sqlite3


class Unlocking(sqlite3.Connection):
    """A connection whose close ends its transaction, also where somebody still holds a cursor.

    SQLite only closes once the last statement is finalized, and until then the lock of an open transaction stays: a
    statement with RETURNING whose caller was cancelled is kept by the traceback until garbage is collected.
    (https://sqlite.org/c3ref/close.html)
    """

    def close(self) -> None:
        """Roll back what is open, then close."""
        if self.in_transaction:
            self.rollback()
        super().close()
