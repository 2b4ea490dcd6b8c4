import asyncio
import gc
import sqlite3
import threading
from pathlib import Path

from sqlalchemy import Column, Engine, Integer, MetaData, Table, event, insert, text

from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions

FEW = 32

SLOW_WITH_ROWS_LEFT = """
    INSERT INTO numbers WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
    SELECT i FROM n RETURNING i
"""


async def write(database: Database, statement: str) -> None:
    async with database.writing() as connection:
        await connection.execute(text(statement))


async def write_and_keep_what_ended_it(database: Database, statement: str, kept: list[BaseException]) -> None:
    """Write until cancelled, and keep the error: its traceback holds the cursor, as before a garbage collection."""
    try:
        await write(database, statement)
    except asyncio.CancelledError as error:
        kept.append(error)


def is_locked(path: Path) -> bool:
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        connection.close()
    return False


async def until_locked(path: Path) -> None:
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(is_locked, path):
            pass


async def test_a_writer_cancelled_in_mid_statement_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "imsg.db"
    async with connect(read_url(f"sqlite:///{path}"), DatabaseOptions("test")) as database:
        await write(database, "CREATE TABLE numbers (i INTEGER)")
        kept: list[BaseException] = []
        writer = asyncio.create_task(write_and_keep_what_ended_it(database, SLOW_WITH_ROWS_LEFT, kept))
        await until_locked(path)
        writer.cancel()
        await writer
        assert isinstance(kept[0], asyncio.CancelledError)
        assert not is_locked(path)
        await write(database, "INSERT INTO numbers VALUES (0)")


async def test_rows_that_are_returned_need_few_statements_however_many_rows_there_are(tmp_path: Path) -> None:
    """sqlite3 keeps each, prepared: one for every number of rows would hold hundreds of MiB."""
    table = Table("numbers", MetaData(), Column("i", Integer, primary_key=True))
    statements: set[str] = set()
    async with connect(read_url(f"sqlite:///{tmp_path / 'imsg.db'}"), DatabaseOptions("test")) as database:
        await write(database, "CREATE TABLE numbers (i INTEGER PRIMARY KEY)")

        def record(*arguments: object) -> None:
            statements.add(str(arguments[2]))

        event.listen(Engine, "before_cursor_execute", record)
        first = 0
        for count in range(1, 200):
            rows = [{"i": first + n} for n in range(count)]
            async with database.writing() as connection:
                returned = await connection.execute(insert(table).returning(table.c.i), rows)
                assert sorted(returned.scalars()) == [row["i"] for row in rows]
            first += count
        event.remove(Engine, "before_cursor_execute", record)

    assert 0 < len([statement for statement in statements if statement.startswith("INSERT")]) <= FEW


async def test_a_writer_cancelled_again_while_it_ends_leaves_nothing_unread_and_nothing_pending(tmp_path: Path) -> None:
    """As services end: what a time limit has cancelled is cancelled once more, and its connection told to end twice."""
    said: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    path = tmp_path / "imsg.db"
    async with connect(read_url(f"sqlite:///{path}"), DatabaseOptions("test")) as database:
        await write(database, "CREATE TABLE numbers (i INTEGER)")
        for _ in range(3):
            writer = asyncio.create_task(write(database, SLOW_WITH_ROWS_LEFT))
            await until_locked(path)
            while not writer.done():
                writer.cancel()
                await asyncio.sleep(0)
            assert writer.cancelled()
        await write(database, "INSERT INTO numbers VALUES (0)")
    async with asyncio.timeout(60):
        while any("connection_worker" in thread.name for thread in threading.enumerate()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    gc.collect()

    assert said == []


async def test_calls_after_a_burst_use_one_connection_and_leave_the_other_caches_empty(
    tmp_path: Path,
) -> None:
    async with connect(read_url(f"sqlite:///{tmp_path / 'imsg.db'}"), DatabaseOptions("test", pool=4)) as database:
        await write(database, "CREATE TABLE numbers (i INTEGER)")
        burst = asyncio.Barrier(4)

        async def read() -> object:
            async with database.reading() as connection:
                await connection.execute(text("SELECT i FROM numbers"))
                await burst.wait()
                return (await connection.get_raw_connection()).driver_connection

        used = await asyncio.gather(*(read() for _ in range(4)))
        assert len(set(used)) == 4

        burst = asyncio.Barrier(1)
        assert len({await read() for _ in range(8)}) == 1
