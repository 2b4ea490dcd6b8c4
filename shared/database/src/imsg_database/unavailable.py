"""What a database's error means: the database is unavailable, or the statement or a value is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

BAD_VALUES = ("22", "23", "54")
"""Classes of SQLSTATE that blame what was written: data exception, integrity, a limit exceeded (a key too long)."""

NO_RIGHT = "42501"
"""A missing right, which an operator restores: no fault of the statement, whatever its class."""

BAD_STATEMENTS = ("0A", "21", "22", "23", "3F", "42", "44")
"""Classes that the same statement will always have; all others say that the database can't now."""


class DatabaseUnavailable(Exception):  # noqa: N818  a state of the world
    """The database did not answer, or not in time: down, locked, full. The same again later may go through.

    Unless it was the commit that was not answered, nothing was changed.
    """


@contextmanager
def translate() -> Iterator[None]:
    """Raise DatabaseUnavailable for what the block raises because it is away; a wrong statement stays what it is."""
    try:
        yield
    except DBAPIError as error:
        if not is_away(error):
            raise
        raise DatabaseUnavailable(describe(error)) from error
    except (PoolTimeout, OSError) as error:
        raise DatabaseUnavailable(describe(error)) from error


def is_away(error: DBAPIError) -> bool:
    """Tell whether the database can't do now what it was asked; else the statement is wrong, or a value in it."""
    if error.connection_invalidated:
        return True
    if state := find_state(error):
        return state == NO_RIGHT or state[:2] not in BAD_STATEMENTS
    return isinstance(error, OperationalError | InterfaceError | InternalError) and not _is_unwritable(error)


def blames_the_values(error: DBAPIError) -> bool:
    """Tell whether an error is the fault of what was written, so that repeating it can't help."""
    if state := find_state(error):
        return state[:2] in BAD_VALUES
    return isinstance(error, IntegrityError | DataError) or _is_unwritable(error)


def find_state(error: DBAPIError) -> str:
    """Return PostgreSQL's SQLSTATE; nothing of SQLite's, and where no answer came."""
    return getattr(error.orig, "sqlstate", None) or ""


def find_constraint(error: DBAPIError) -> str | None:
    """Name the constraint of PostgreSQL's that was violated."""
    return getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)


def _is_unwritable(error: DBAPIError) -> bool:
    """Tell whether the driver itself could not write a value: a number too large, half a character."""
    return isinstance(getattr(error.orig, "__cause__", None), ValueError)


def describe(error: Exception) -> str:
    """Give the database's own words, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).strip() or type(error).__name__
