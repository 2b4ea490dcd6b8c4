"""Transactions that hold the statements of a service."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_database.database import Database

Rows = TypeVar("Rows")


class Transactions(Generic[Rows]):
    """Transactions of a database, each with the statements that `make_rows` makes of its connection.

    Entering, leaving and every statement raise DatabaseUnavailable.
    """

    def __init__(self, database: Database, make_rows: Callable[[AsyncConnection], Rows]) -> None:
        self._database = database
        self._make_rows = make_rows

    async def purge(self) -> None:
        """Remove deleted data from the database's files."""
        await self._database.purge()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Rows]:
        """Open a transaction that only reads."""
        async with self._database.reading() as connection:
            yield self._make_rows(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Rows]:
        """Open a transaction that may write; it commits unless the block raises."""
        async with self._database.writing() as connection:
            yield self._make_rows(connection)
