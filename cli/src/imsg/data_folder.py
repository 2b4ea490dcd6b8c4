"""The data folder of `imsg up`: made, checked, and locked by one process at a time."""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from imsg_runtime.settings import StartError, variable

LOCK = "lock"

LOCK_TIMEOUT_S = 10.0
"""How long a killed process may still hold the lock: its Valkey first writes what it has."""


@asynccontextmanager
async def hold(folder: Path) -> AsyncIterator[int]:
    """Make the folder and lock it; yield the file descriptor of the lock.

    Processes that write into the folder inherit the descriptor, so the lock lasts until the last of them ends.
    Raises StartError if the folder can't be written, or another process holds the lock.
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
            "the data folder {0} can't be written ({1}); correct its rights, or name another in {2}.",
            folder,
            (error.strerror or str(error)).lower(),
            variable("data_dir"),
        ) from error


async def _lock(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(descriptor)
            if time.monotonic() < deadline and (holder is None or not _is_running(holder)):
                await asyncio.sleep(0.05)
                continue
            setting = variable("data_dir")
            if holder is None:
                raise StartError(
                    "another imsg runs on the data folder {0}; end it, or name another folder in {1}.", folder, setting
                ) from None
            raise StartError(
                "another imsg (process {0}) runs on the data folder {1}; end it, or name another folder in {2}.",
                holder,
                folder,
                setting,
            ) from None
        return


def _read_holder(descriptor: int) -> int | None:
    pid = os.pread(descriptor, 20, 0)
    return int(pid) if pid.isdigit() else None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
