"""Classification of database errors: the database is unavailable, or the statement or a value is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

BAD_VALUES = ("22", "23", "54")
"""SQLSTATE classes of wrong values: data exception, integrity, limit exceeded (such as a key too long)."""

NO_RIGHT = "42501"
"""insufficient_privilege: an operator has to grant the right; the statement is correct."""

BAD_STATEMENTS = ("0A", "21", "22", "23", "3F", "42", "44")
"""SQLSTATE classes of wrong statements, which fail at each repetition. Others mean that the database is unavailable."""


class DatabaseUnavailable(Exception):  # noqa: N818  a state of the world
    """The database did not answer in time: it is down, locked or full. Repeating the transaction later may succeed.

    Nothing was changed, unless the commit itself got no answer.
    """


@contextmanager
def translate() -> Iterator[None]:
    """Turn the block's errors of an unavailable database into DatabaseUnavailable; pass on all others."""
    try:
        yield
    except DBAPIError as error:
        if not is_unavailable(error):
            raise
        raise DatabaseUnavailable(describe(error)) from error
    except (PoolTimeout, OSError) as error:
        raise DatabaseUnavailable(describe(error)) from error


def is_unavailable(error: DBAPIError) -> bool:
    """Return whether an error means that the database is unavailable; otherwise the statement or a value is wrong."""
    if error.connection_invalidated:
        return True
    if state := find_state(error):
        return state == NO_RIGHT or state[:2] not in BAD_STATEMENTS
    return isinstance(error, OperationalError | InterfaceError | InternalError) and not _is_unwritable(error)


def is_value_error(error: DBAPIError) -> bool:
    """Return whether a value caused the error, so that a repetition fails as well."""
    if state := find_state(error):
        return state[:2] in BAD_VALUES
    return isinstance(error, IntegrityError | DataError) or _is_unwritable(error)


def find_state(error: DBAPIError) -> str:
    """Return PostgreSQL's SQLSTATE; empty for SQLite, and where PostgreSQL did not answer."""
    return getattr(error.orig, "sqlstate", None) or ""


def find_constraint(error: DBAPIError) -> str | None:
    """Return the name of the violated constraint (PostgreSQL); None for other errors."""
    return getattr(getattr(error.orig, "__cause__", None), "constraint_name", None)


def _is_unwritable(error: DBAPIError) -> bool:
    """Return whether the driver could not encode a value, such as a too large number or a lone surrogate."""
    return isinstance(getattr(error.orig, "__cause__", None), ValueError)


def describe(error: Exception) -> str:
    """Return the database's error message, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).strip() or type(error).__name__
