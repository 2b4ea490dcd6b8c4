"""A database that can't be used now, told apart from a statement that is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class DatabaseUnavailable(Exception):  # noqa: N818  a state of the world
    """The database did not answer, or not in time: down, locked, full. The same again later may go through.

    Unless it was the commit that was not answered, nothing was changed.
    """


@contextmanager
def translate() -> Iterator[None]:
    """Raise DatabaseUnavailable for what the block raises because it is away; a wrong statement stays what it is."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError, PoolTimeout, OSError) as error:
        raise DatabaseUnavailable(describe(error)) from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise DatabaseUnavailable(describe(error)) from error


def describe(error: Exception) -> str:
    """Give the database's own words, without the statement and its values."""
    return str(getattr(error, "orig", None) or error).strip() or type(error).__name__
