"""The database as transactions: read transactions, and write transactions, which SQLite runs one at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imsg_database.engines import BEGIN, Terms, open_engine
from imsg_database.sessions import UNREPLICATED
from imsg_database.unavailable import DatabaseUnavailable, translate
from imsg_database.write_health import WriteHealth


class Database:
    """One database. A writing transaction on SQLite takes the write lock when it begins; PostgreSQL locks rows."""

    def __init__(self, engine: AsyncEngine, terms: Terms) -> None:
        self._reader = engine.execution_options(**{BEGIN: "DEFERRED"})
        self._writer = engine.execution_options(**{BEGIN: "IMMEDIATE"})
        self._plain = engine
        self._writes = WriteHealth()
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._turn: AbstractAsyncContextManager[None] = (
            _Turn(terms.busy_timeout_s) if self._is_sqlite else nullcontext()
        )

    @property
    def takes_writes(self) -> bool:
        """Whether the last write was accepted: a full or read-only database, or a missing right, refuses it."""
        return self._writes.is_well

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads. Raises DatabaseUnavailable."""
        with translate():
            async with self._reader.begin() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that may write; commits unless the block raises. Raises DatabaseUnavailable.

        So it does where a commit stands at the primary alone, since its wait for a synchronous standby was broken off.
        """
        async with self._turn:
            with self._writes.watch(), translate():
                async with self._writer.begin() as connection:
                    info = connection.info
                    info.pop(UNREPLICATED, None)
                    yield connection
            if info.pop(UNREPLICATED, False):
                raise DatabaseUnavailable("the synchronous standby did not confirm a commit")

    async def purge(self) -> None:
        """Remove deleted data from SQLite's files; PostgreSQL vacuums by itself.

        Raises DatabaseUnavailable.
        """
        if not self._is_sqlite:
            return
        async with self._turn:
            with translate():
                async with self._plain.connect() as connection:
                    await connection.execute(text("VACUUM main"))
                    is_busy = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).scalar_one()
            if is_busy:
                raise DatabaseUnavailable("a reader kept the log from being emptied")


class _Turn(AbstractAsyncContextManager[None]):
    """SQLite's writers of this process wait in order; those of other processes poll for the file's lock."""

    def __init__(self, patience_s: float) -> None:
        self._lock = asyncio.Lock()
        self._patience_s = patience_s

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._lock.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable("too many wait to write") from error

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


@asynccontextmanager
async def connect(url: URL, terms: Terms) -> AsyncIterator[Database]:
    """Open the database for as long as the context lasts. Raises StartError where SQLite's file can't be made."""
    async with open_engine(url, terms) as engine:
        yield Database(engine, terms)
