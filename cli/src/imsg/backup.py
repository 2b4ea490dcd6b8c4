"""`imsg backup`: a consistent copy of the data folder, made while iMSG runs on it."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path

from imsg import all_in_one, data_folder, tombstones, valkey
from imsg.table_owners import TABLE_OWNERS
from imsg_contract.topology import BACKING_UP
from imsg_runtime.lines import Line, fill
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, connect
from imsg_runtime.settings import StartError, load, variable

LOG = Path("valkey") / "appendonlydir"
"""Valkey's append-only files inside the data folder, under their default name."""

PART = ".part"
"""The end of a copy's name until it is whole."""

PERCENTAGE = "auto-aof-rewrite-percentage"

BACKING_UP_S = 3_600
"""When the mark of a killed backup ends."""

REWRITE_TIMEOUT_S = 300.0
"""How long a running rewrite of Valkey's log may take: minutes only for gigabytes."""


def back_up(target: Path) -> list[Line]:
    """Copy the data folder of the settings to `target`; return a line about each store that is elsewhere.

    Raises StartError if that is impossible, and leaves nothing at `target` then.
    """
    settings = load(all_in_one.Settings)
    source = settings.data_dir
    if not (source / all_in_one.SECRETS).is_dir():
        raise StartError(
            "{0} is no data folder of iMSG; {1} names another. With containers: make backup.",
            source,
            variable("data_dir"),
        )
    if target.exists():
        raise StartError("{0} exists already; name a new folder.", target)
    os.umask(0o077)  # the copy is private to this user
    asyncio.run(_copy_unlocked(source, target))
    return [
        fill("The store of {0} is not in it; back that up by its own tools.", name) for name in list_elsewhere(settings)
    ]


def list_elsewhere(settings: all_in_one.Settings) -> list[str]:
    """Return the settings of stores outside the data folder."""
    return [variable(name) for name in ("redis_url", "broker_url", "database_url") if getattr(settings, name)]


async def _copy_unlocked(source: Path, target: Path) -> None:
    url = valkey.find_running(source)
    # Where iMSG does not run, the lock keeps it from starting meanwhile.
    async with nullcontext() if url else data_folder.hold(source):
        await copy(source, target, url)


async def copy(source: Path, target: Path, url: str | None) -> None:
    """Copy a data folder to a new folder, under another name until it is whole; `url`: its Valkey, if it runs.

    Raises StartError if that is impossible, and leaves nothing at `target` then.
    """
    draft = target.with_name(f"{target.name}.{os.getpid()}{PART}")
    try:
        draft.mkdir(parents=True)
        await _copy_stores(source, draft, url)
        draft.rename(target)
    except (OSError, sqlite3.Error, RedisUnavailable, RedisRefused) as error:
        raise StartError("the backup was not made: {0}.", error) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, draft, ignore_errors=True)


async def _copy_stores(source: Path, target: Path, url: str | None) -> None:
    if (source / LOG).is_dir():
        async with _prevent_rewrites(url):
            await asyncio.to_thread(_copy_log, source / LOG, target / LOG)
    await copy_databases(source, target)
    await asyncio.to_thread(shutil.copytree, source / all_in_one.SECRETS, target / all_in_one.SECRETS)
    await asyncio.to_thread(_name_origin, source, target)


async def copy_databases(source: Path, target: Path) -> None:
    """Copy each service's database, history last: events that it has not recorded are still in Valkey.

    Raises OSError and sqlite3.Error.
    """
    for owner in TABLE_OWNERS:
        if (file := owner.find_file(source)).exists():
            await asyncio.to_thread(_copy_database, file, owner.find_file(target))


@asynccontextmanager
async def _prevent_rewrites(url: str | None) -> AsyncIterator[None]:
    """Prevent Valkey from rewriting its log while the context is open; it may append to it."""
    if url is None:
        yield
        return
    async with connect(url) as redis:
        percentage = (await redis.call("CONFIG", "GET", PERCENTAGE))[PERCENTAGE.encode()]
        await redis.call("CONFIG", "SET", PERCENTAGE, "0")
        # After an erasure history starts a rewrite itself: this mark makes it wait.
        await redis.call("SET", BACKING_UP, "1", "EX", BACKING_UP_S)
        try:
            async with asyncio.timeout(REWRITE_TIMEOUT_S):
                while await _is_rewriting(redis):  # noqa: ASYNC110  Valkey sends no event
                    await asyncio.sleep(0.1)
            yield
        finally:
            await redis.call("CONFIG", "SET", PERCENTAGE, percentage)
            await redis.call("DEL", BACKING_UP)


async def _is_rewriting(redis: Redis) -> bool:
    info: bytes = await redis.call("INFO", "persistence")
    return any(b"%b:1\r\n" % name in info for name in (b"aof_rewrite_in_progress", b"aof_rewrite_scheduled"))


def _name_origin(source: Path, target: Path) -> None:
    """Write the folder's path into the copy: `imsg up` on the copy takes over the later tombstones of the folder."""
    (target / tombstones.COPY_OF).write_text(f"{source.resolve()}\n")


def _copy_log(source: Path, target: Path) -> None:
    """Copy the log's files. One that grows meanwhile may end in half a command, which Valkey cuts off."""
    target.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        if not file.name.startswith("temp-"):
            shutil.copyfile(file, target / file.name)


def _copy_database(source: Path, target: Path) -> None:
    """Copy a database as of one moment, while others write to it, and check the copy."""
    with closing(sqlite3.connect(source)) as reader, closing(sqlite3.connect(target)) as writer:
        reader.backup(writer)
        (verdict,) = writer.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"{source.name} is damaged: {verdict}")
