"""The store of auth: its statements, in transactions of the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imsg_auth.rows.installation_limits import InstallationLimitsRows
from imsg_auth.rows.keys import KeyRows
from imsg_auth.rows.outbox import OutboxRows
from imsg_auth.rows.providers import ProviderRows
from imsg_auth.rows.senders import SenderRows
from imsg_auth.rows.users import UserRows
from imsg_database.database import Database


class Rows(UserRows, KeyRows, ProviderRows, SenderRows, InstallationLimitsRows, OutboxRows):
    """All statements of one transaction."""


class Store:
    """Transactions over the users. Entering, leaving and every statement raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def takes_writes(self) -> bool:
        """Whether the database has refused no write lately."""
        return self._database.takes_writes

    async def purge(self) -> None:
        """Remove deleted data from the database's files."""
        await self._database.purge()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Rows]:
        """Open a transaction that only reads."""
        async with self._database.reading() as connection:
            yield Rows(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Rows]:
        """Open a transaction that writes; commits unless the block raises."""
        async with self._database.writing() as connection:
            yield Rows(connection)
