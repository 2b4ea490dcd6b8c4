"""The data folder of `imsg up`: made, checked, and held by one process at a time."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from imsg_runtime.settings import StartError, variable

LOCK = "lock"

LEAVING_S = 10.0
"""How long a process that was killed may still hold the folder: its Valkey writes what it has and goes."""


@asynccontextmanager
async def hold(folder: Path) -> AsyncIterator[int]:
    """Make the folder and hold it alone; yield the lock's file descriptor.

    Whoever writes into the folder inherits the descriptor, so the lock lasts until the last of them has gone.
    Raises StartError where the folder can't be written or another holds it.
    """
    descriptor = _open(folder)
    try:
        await _lock(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartError(
            f"the data folder {folder} can't be written ({(error.strerror or str(error)).lower()}); "
            f"correct its rights, or name another in {variable('data_dir')}."
        ) from error


async def _lock(descriptor: int, folder: Path) -> None:
    patience = time.monotonic() + LEAVING_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(descriptor)
            if time.monotonic() < patience and (holder is None or not _lives(holder)):
                await asyncio.sleep(0.05)
                continue
            raise StartError(
                f"another imsg{f' (process {holder})' if holder else ''} runs on the data folder {folder}; "
                f"end it, or name another folder in {variable('data_dir')}."
            ) from None
        return


def _holder(descriptor: int) -> int | None:
    written = os.pread(descriptor, 20, 0)
    return int(written) if written.isdigit() else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
