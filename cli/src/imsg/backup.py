"""`imsg backup`: a consistent copy of a data folder while iMSG runs on it, which is a data folder itself."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path

from imsg import all_in_one, data_folder, tombstones, valkey
from imsg_contract.topology import BACKING_UP
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, connect
from imsg_runtime.settings import StartError, load, variable

LOG = Path("valkey") / "appendonlydir"
"""Where Valkey keeps what it was told, inside the data folder; its configuration names it so by default."""

DATABASES = ("auth.db", "wechat.db", "callbacks.db", "catalog.db", "history.db")
"""Last comes what must not be older than the others: events that history has not recorded are still in Valkey."""

PERCENTAGE = "auto-aof-rewrite-percentage"

BACKING_UP_S = 3_600
"""After so long a backup that was killed is no longer in anybody's way."""

REWRITE_TIMEOUT_S = 300.0
"""How long a rewrite of Valkey's log that is under way may take; minutes only for gigabytes."""


def back_up(target: Path) -> list[str]:
    """Copy the data folder that the settings name to `target`; return a line about each thing that is elsewhere.

    Raises StartError with what stands in the way; nothing is left at `target` then.
    """
    asked = load(all_in_one.Settings)
    source = asked.data_dir
    if not (source / all_in_one.SECRETS).is_dir():
        raise StartError(
            f"{source} is no data folder of iMSG's; {variable('data_dir')} names another. With containers: make backup."
        )
    if target.exists():
        raise StartError(f"{target} is there already; name a folder that is not.")
    os.umask(0o077)  # what is copied is nobody else's to read
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        draft.mkdir(parents=True)
        asyncio.run(_copy(source, draft))
        draft.rename(target)
    except (OSError, sqlite3.Error, RedisUnavailable, RedisRefused) as error:
        raise StartError(f"the backup was not made: {error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    elsewhere = {"redis_url": asked.redis_url, "broker_url": asked.broker_url, "database_url": asked.database_url}
    return [
        f"What {variable(name)} names is not in it; back that up by its own tools."
        for name in elsewhere
        if elsewhere[name]
    ]


async def _copy(source: Path, target: Path) -> None:
    url = valkey.find_running(source)
    # Where nobody runs, nobody shall start meanwhile.
    async with nullcontext() if url else data_folder.hold(source):
        if (source / LOG).is_dir():
            async with _rewriting_nothing(url):
                await asyncio.to_thread(_copy_log, source / LOG, target / LOG)
        for name in DATABASES:
            if (source / name).exists():
                await asyncio.to_thread(_copy_database, source / name, target / name)
        await asyncio.to_thread(shutil.copytree, source / all_in_one.SECRETS, target / all_in_one.SECRETS)
        await asyncio.to_thread(_name_origin, source, target)


@asynccontextmanager
async def _rewriting_nothing(url: str | None) -> AsyncIterator[None]:
    """Keep Valkey from replacing its log's files for as long as the context lasts; appended to they may be."""
    if url is None:
        yield
        return
    async with connect(url) as redis:
        percentage = (await redis.call("CONFIG", "GET", PERCENTAGE))[PERCENTAGE.encode()]
        await redis.call("CONFIG", "SET", PERCENTAGE, "0")
        # History has the log written anew after an erasure, whatever the percentage says: not meanwhile.
        await redis.call("SET", BACKING_UP, "1", "EX", BACKING_UP_S)
        try:
            async with asyncio.timeout(REWRITE_TIMEOUT_S):
                while await _rewrites(redis):  # noqa: ASYNC110  only Valkey knows, and is asked
                    await asyncio.sleep(0.1)
            yield
        finally:
            await redis.call("CONFIG", "SET", PERCENTAGE, percentage)
            await redis.call("DEL", BACKING_UP)


async def _rewrites(redis: Redis) -> bool:
    said: bytes = await redis.call("INFO", "persistence")
    return any(b"%b:1\r\n" % name in said for name in (b"aof_rewrite_in_progress", b"aof_rewrite_scheduled"))


def _name_origin(source: Path, target: Path) -> None:
    """Write whose copy it is: who is erased there later must not come back with the copy."""
    (target / tombstones.COPY_OF).write_text(f"{source.resolve()}\n")


def _copy_log(source: Path, target: Path) -> None:
    """Copy the log's files; one that is appended to meanwhile ends in half a command, which Valkey cuts off."""
    target.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        if not file.name.startswith("temp-"):
            shutil.copyfile(file, target / file.name)


def _copy_database(source: Path, target: Path) -> None:
    """Copy a database as of one moment, whoever writes to it, and see that the copy is whole."""
    with closing(sqlite3.connect(source)) as reader, closing(sqlite3.connect(target)) as writer:
        reader.backup(writer)
        (verdict,) = writer.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"{source.name} is damaged: {verdict}")
