"""Calls functions that parse untrusted input, in a process with bounds of time and memory."""

import asyncio
import importlib
import json
import os
import resource
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, BinaryIO, Self

Function = Callable[..., bytes]
"""(content, arguments as JSON) → its answer."""

CODE = "import sys; from imsg_runtime.bounded_process import main; main(*sys.argv[1:])"

LENGTH_BYTES = 8

DONE = b"\0"
FAILED = b"\1"
"""The first byte of an answer: of a result, and of a traceback."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a process may use."""

    cpu_s: int
    """The CPU time of one call."""
    memory_bytes: int
    """Its address space."""
    timeout_s: float
    """How long one call may take, however busy the machine is."""
    niceness: int = 0
    """Its nice value: an uploaded file may wait, the text of a log-in code may not."""


class BoundsExceededError(Exception):
    """A call took more time or memory than its bounds; its process was ended."""


class BoundedProcess:
    """A process that is started by the first call, and ended with its `async with` or a while after the last call.

    It takes one call at a time. A call that exceeds its bounds ends it, and the next call starts another.
    """

    def __init__(self, function: str, bounds: Bounds, idle_s: float = 60.0) -> None:
        """Prepare calls of `MODULE:NAME`, a Function, whose module the process alone loads."""
        self._function = function
        self._bounds = bounds
        self._idle_s = idle_s
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        """Return the process, which its first call starts."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        await self.close()

    async def call(self, content: bytes, *arguments: Any) -> bytes:  # noqa: ANN401  JSON
        """Return the function's answer. Raises BoundsExceededError; RuntimeError where the function raised."""
        async with self._lock:
            if self._idle is not None:
                self._idle.cancel()
            is_over = False
            try:
                async with asyncio.timeout(self._bounds.timeout_s):
                    answer = await self._exchange(json.dumps(arguments).encode(), content)
                is_over = True
            except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
                raise BoundsExceededError(str(error)) from error
            finally:
                if not is_over:  # cancelled, too: the answer may come later
                    await self.close()
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._kill)
        if answer[:1] == FAILED:
            raise RuntimeError(f"{self._function} failed:\n{answer[1:].decode(errors='replace')}")
        return answer[1:]

    async def _exchange(self, *parts: bytes) -> bytes:
        if self._process is None or self._process.returncode is not None:
            self._process = await self._start()
        to, source = self._process.stdin, self._process.stdout
        if to is None or source is None:
            raise RuntimeError("the process has no pipes")
        for part in parts:
            to.write(len(part).to_bytes(LENGTH_BYTES))
            to.write(part)
        await to.drain()
        return await source.readexactly(int.from_bytes(await source.readexactly(LENGTH_BYTES)))

    async def _start(self) -> asyncio.subprocess.Process:
        words = (
            *self._function.split(":"),
            *map(str, (self._bounds.cpu_s, self._bounds.memory_bytes, self._bounds.niceness)),
        )
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", CODE, *words, stdin=pipe, stdout=pipe)

    def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def close(self) -> None:
        """End the process; another call would start one again."""
        if self._idle is not None:
            self._idle.cancel()
        self._kill()
        if self._process is not None:
            await self._process.wait()
            self._process = None


def main(module: str, name: str, cpu_s: str, memory_bytes: str, niceness: str) -> None:
    """Answer calls from the standard input on the standard output, until that is closed."""
    os.nice(int(niceness))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the interpreter alone may have more
        resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    function: Function = getattr(importlib.import_module(module), name)
    source, to = sys.stdin.buffer, sys.stdout.buffer
    while (arguments := _read(source)) is not None and (content := _read(source)) is not None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        used = usage.ru_utime + usage.ru_stime
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + 1 + int(cpu_s), resource.RLIM_INFINITY))
        try:
            answer = DONE + function(content, *json.loads(arguments))
        except MemoryError:
            return
        except Exception:  # noqa: BLE001  the caller raises it
            answer = FAILED + traceback.format_exc().encode()
        to.write(len(answer).to_bytes(LENGTH_BYTES))
        to.write(answer)
        to.flush()


def _read(source: BinaryIO) -> bytes | None:
    length = source.read(LENGTH_BYTES)
    return source.read(int.from_bytes(length)) if len(length) == LENGTH_BYTES else None
