"""What the statements of every subject have in common."""

import zlib

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection


class Statements:
    """Statements of one transaction; those that write need `Store.writing`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @property
    def _is_postgres(self) -> bool:
        return self._connection.dialect.name == "postgresql"

    async def _lock(self, name: str) -> None:
        """Acquire a lock until the transaction ends; SQLite has one writer anyway."""
        if self._is_postgres:
            await self._connection.execute(select(func.pg_advisory_xact_lock(zlib.crc32(name.encode()))))
