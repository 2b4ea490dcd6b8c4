"""However work at the database ends, its caller is answered, and readiness comes back."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from imsg_database.address import read_url
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.database import QUERY_TIMEOUT_S, connect, finish_within


async def test_work_that_never_ends_blocks_no_other() -> None:
    may_end = asyncio.Event()

    async def work() -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    async with asyncio.timeout(60):
        with pytest.raises(TimeoutError, match="no answer"):
            await finish_within(work(), 0.01, cancellations=2)
    may_end.set()


async def test_readiness_comes_back_after_the_loop_stood_still_while_a_writer_waited(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with connect(read_url(f"sqlite:///{path}")) as store:
        await store.ping()
        with closing(sqlite3.connect(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = [asyncio.create_task(store.ping()) for _ in range(3)]
            writer = asyncio.create_task(
                store.write(lambda connection: connection.execute(text("CREATE TABLE t (i)")), 0.1)
            )
            await asyncio.sleep(0)
            time.sleep(QUERY_TIMEOUT_S + 0.5)  # noqa: ASYNC251  the loop stands still: longer than a ping may take
            with pytest.raises(DatabaseUnavailable):
                await writer
            await asyncio.gather(*waiting)
            other.rollback()
        async with asyncio.timeout(60):
            while not store.available:
                await store.ping()
        await store.write(lambda connection: connection.execute(text("CREATE TABLE t (i)")))
        assert store.available
