"""What people hand in, read in a process of its own within bounds it can't break: one a session, few in all."""

import asyncio
import importlib
import json
import os
import resource
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

Reader = Callable[..., Iterable[Any]]
"""A function of a module: (content, what else it is asked, as JSON has it) → pieces, as JSON has them.

It raises UnreadableError. The process loads its module, which therefore loads little itself.
"""

PACKED = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How workbooks begin, which may hold far more than their size says: .xlsx and the like, and those of before."""

SMALL_BYTES = 32 * 1024
"""A text that is no longer is read here, in a thread: in less time than a process takes to begin."""

MAX_SMALL = 100
"""Small texts of one session that may wait: whoever types fast parts each from the next."""

MEMORY_BYTES = 512 * 1024 * 1024
"""Of addresses, that of the interpreter included: two cells in the corners of a sheet want more, and get none."""

CPU_S = 20

TIMEOUT_S = 60.0
"""How long one reader may take; it gives way to services on a busy machine."""

PATIENCE_S = 180.0
"""How long it may take with those that are read before it."""

NICENESS = 10

MAX_ANSWER_BYTES = 64 * 1024 * 1024

AT_ONCE = 2

MAX_LARGE = 3
"""Of one session, the one that is read and those that wait: each holds its content in memory."""

BUG = 1
"""What a process exits with whose reader raised something else than it may."""

CODE = "import sys; from imsg_console.readers import main; sys.exit(main(*sys.argv[1:]))"


class UnreadableError(Exception):
    """Nothing can be read. `why` is a key of the catalogues, whose sentence takes the `name` of what was handed in."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Readers:
    """Runs readers for sessions and their pages."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._turns: dict[tuple[str, bool], asyncio.Lock] = {}
        """Of each session two: for what is small, which must not wait for what is large."""
        self._asked: dict[tuple[str, bool], int] = {}
        """How many of each are read or wait."""
        self._tasks: dict[str, set[asyncio.Task[list[Any]]]] = {}
        """Page → what is read for it."""

    async def run(self, session: str, page: str, reader: Reader, content: bytes, *asked: Any) -> list[Any]:  # noqa: ANN401  JSON
        """Return a reader's pieces. It ends with the page. Raises UnreadableError."""
        task = asyncio.create_task(self._run(session, reader, content, asked))
        tasks = self._tasks.setdefault(page, set())
        tasks.add(task)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await task
        except TimeoutError as error:
            raise UnreadableError("files.busy") from error
        finally:
            task.cancel()
            tasks.discard(task)
            if not tasks:
                self._tasks.pop(page, None)

    def end(self, page: str) -> None:
        """End what is read for a page."""
        for task in self._tasks.get(page, set()):
            task.cancel()

    async def _run(self, session: str, reader: Reader, content: bytes, asked: tuple[Any, ...]) -> list[Any]:
        if len(content) <= SMALL_BYTES and not content.startswith(PACKED):
            async with self._turn((session, True), MAX_SMALL):
                return _parse(await asyncio.to_thread(_read, reader, content, asked))
        async with self._turn((session, False), MAX_LARGE), self._slots:
            answer = await _read_apart(reader, content, asked)
            return await asyncio.to_thread(_parse, answer)

    @asynccontextmanager
    async def _turn(self, key: tuple[str, bool], most: int) -> AsyncIterator[None]:
        """Wait until nothing else of the session is read. Raises UnreadableError."""
        asked = self._asked.get(key, 0)
        if asked >= most:
            raise UnreadableError("files.busy")
        self._asked[key] = asked + 1
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with turn:
                yield
        finally:
            self._asked[key] -= 1
            if not self._asked[key]:
                del self._asked[key], self._turns[key]


async def _read_apart(reader: Reader, content: bytes, asked: tuple[Any, ...]) -> bytes:
    """Read in a process of its own; return its answer. Raises UnreadableError where its bounds ended it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-c",
        CODE,
        reader.__module__,
        reader.__name__,
        json.dumps(asked),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer, said = await process.communicate(content)
    except TimeoutError as error:
        raise UnreadableError("files.too_large") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == BUG:
        raise RuntimeError(f"{reader.__module__}.{reader.__name__} failed:\n{said.decode(errors='replace')}")
    return answer


def main(module: str, name: str, asked: str) -> int:
    """Read the standard input by a reader, write its answer to the standard output: what the process does."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the interpreter alone may have more
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    reader: Reader = getattr(importlib.import_module(module), name)
    sys.stdout.buffer.write(_read(reader, sys.stdin.buffer.read(), json.loads(asked)))
    return 0


def _read(reader: Reader, content: bytes, asked: Iterable[Any]) -> bytes:
    """Write a line for each piece, and one that says how it ended: many lines, so that none takes long to parse."""
    lines: list[str] = []
    left, why = MAX_ANSWER_BYTES, ""
    try:
        for piece in reader(content, *asked):
            lines.append(json.dumps([piece]))
            left -= len(lines[-1])
            if left < 0:
                raise UnreadableError("files.too_large")  # noqa: TRY301  as the reader itself says it
    except UnreadableError as error:
        why = error.why
    except MemoryError:
        why = "files.too_large"
    if why:
        lines.clear()
    return "\n".join([*lines, json.dumps({"why": why})]).encode()


def _parse(answer: bytes) -> list[Any]:
    """Return the pieces. Raises UnreadableError, also where the answer has no end: the process was ended."""
    *lines, last = answer.split(b"\n")
    try:
        why = json.loads(last)["why"]
    except (ValueError, TypeError, KeyError):
        why = "files.too_large"
    if why:
        raise UnreadableError(why)
    return [piece for line in lines for piece in json.loads(line)]
