import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from imsg_database.address import read_url
from imsg_database.engines import BEGIN, DatabaseOptions, open_engine


def run(work: Callable[[AsyncEngine], Awaitable[None]], tmp_path: Path) -> None:
    async def open_and_begin() -> None:
        async with open_engine(read_url(f"sqlite:///{tmp_path / 'a.db'}"), DatabaseOptions("test", pool=1)) as engine:
            await work(engine.execution_options(**{BEGIN: "IMMEDIATE"}))

    asyncio.run(open_and_begin())


async def insert_and_fail(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO numbers VALUES (2)"))
        raise LookupError


def test_a_transaction_commits_unless_its_block_raises(tmp_path: Path) -> None:
    async def work(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE numbers (i INTEGER)"))
            await connection.execute(text("INSERT INTO numbers VALUES (1)"))
        with pytest.raises(LookupError):
            await insert_and_fail(engine)
        async with engine.connect() as connection:
            assert (await connection.scalars(text("SELECT i FROM numbers"))).all() == [1]

    run(work, tmp_path)


def test_a_cancelled_caller_gives_its_connection_back_whole(tmp_path: Path) -> None:
    """The pool has one connection: the next caller waits until it is returned."""

    async def work(engine: AsyncEngine) -> None:
        entered = asyncio.Event()

        async def hold() -> None:
            async with engine.begin() as connection:
                await connection.execute(text("SELECT 1"))
                entered.set()
                await asyncio.sleep(60)

        for _ in range(3):
            holder = asyncio.create_task(hold())
            await entered.wait()
            entered.clear()
            holder.cancel()
            await asyncio.sleep(0)
            holder.cancel()
            with pytest.raises(asyncio.CancelledError):
                await holder
            async with asyncio.timeout(30), engine.connect() as connection:
                assert await connection.scalar(text("SELECT 1")) == 1

    run(work, tmp_path)
