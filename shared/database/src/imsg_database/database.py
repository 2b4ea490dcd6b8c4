"""The database as transactions: read transactions, and write transactions, which SQLite runs one at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from imsg_database.engines import BEGIN, DatabaseOptions, open_engine
from imsg_database.sessions import UNREPLICATED
from imsg_database.unavailable import DatabaseUnavailable, translate
from imsg_database.write_health import WriteHealth


class Database:
    """One database. On SQLite a write transaction takes the write lock when it begins; PostgreSQL locks rows."""

    def __init__(self, engine: AsyncEngine, options: DatabaseOptions) -> None:
        self._reader = engine.execution_options(**{BEGIN: "DEFERRED"})
        self._writer = engine.execution_options(**{BEGIN: "IMMEDIATE"})
        self._engine = engine
        self._writes = WriteHealth()
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._writer_lock: AbstractAsyncContextManager[None] = (
            _WriterLock(options.busy_timeout_s) if self._is_sqlite else nullcontext()
        )

    @property
    def takes_writes(self) -> bool:
        """Whether no write was refused in the last 15 s, as by a full or read-only database."""
        return self._writes.is_well

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that only reads. Raises DatabaseUnavailable."""
        with translate():
            async with self._reader.begin() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that may write; commit it unless the block raises. Raises DatabaseUnavailable.

        It also raises after a commit that the primary made but the synchronous standby did not confirm.
        """
        async with self._writer_lock:
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
        async with self._writer_lock:
            with translate():
                async with self._engine.connect() as connection:
                    await connection.execute(text("VACUUM main"))
                    is_busy = (await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))).scalar_one()
            if is_busy:
                raise DatabaseUnavailable("a reader kept the log from being emptied")


class _WriterLock(AbstractAsyncContextManager[None]):
    """A lock that SQLite's writers of this process take in order; other processes poll for the file's lock."""

    def __init__(self, patience_s: float) -> None:
        self._lock = asyncio.Lock()
        self._patience_s = patience_s

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._lock.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable("no turn to write in time") from error

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


@asynccontextmanager
async def connect(url: URL, options: DatabaseOptions) -> AsyncIterator[Database]:
    """Open the database for as long as the context lasts. Raises StartError where SQLite's file can't be made."""
    async with open_engine(url, options) as engine:
        yield Database(engine, options)
