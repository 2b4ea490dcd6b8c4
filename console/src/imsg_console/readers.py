"""Reads files and pasted texts of people in a process with bounds: one at a time a session, few in all."""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from imsg_runtime.bounded_process import BoundedProcess, Bounds, BoundsExceededError

Reader = Callable[..., Iterable[Any]]
"""A function of a module: (content, arguments as JSON) → pieces as JSON.

It raises UnreadableError. The process loads its module, which therefore loads little itself.
"""

PACKED = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The first bytes of workbooks, .xlsx and .xls, which may unpack to far more than their size."""

SMALL_BYTES = 32 * 1024
"""Shorter texts are read in a thread, which takes less time than the start of a process."""

MAX_SMALL = 100
"""Small texts of one session that may wait."""

BOUNDS = Bounds(cpu_s=20, memory_bytes=512 * 1024 * 1024, timeout_s=60.0, niceness=10)
"""Of one reader; a sheet with cells in its corners would take more."""

PATIENCE_S = 180.0
"""How long it may take together with those before it."""

MAX_ANSWER_BYTES = 64 * 1024 * 1024

AT_ONCE = 2

MAX_LARGE = 3
"""Large contents of one session, with those that wait: each is in memory."""


class UnreadableError(Exception):
    """A content cannot be read. `why` is the key of a sentence, which takes the `name` of the content."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Readers:
    """Runs readers for sessions and their pages."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._turns: dict[tuple[str, bool], asyncio.Lock] = {}
        """Two locks a session, so that small contents do not wait for large ones."""
        self._counts: dict[tuple[str, bool], int] = {}
        """How many contents are read or wait for each lock."""
        self._tasks: dict[str, set[asyncio.Task[list[Any]]]] = {}
        """Page → the tasks that read for it."""

    async def run(self, session: str, page: str, reader: Reader, content: bytes, *arguments: Any) -> list[Any]:  # noqa: ANN401  JSON
        """Return a reader's pieces. It ends with the page. Raises UnreadableError."""
        task = asyncio.create_task(self._run(session, reader, content, arguments))
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
        """Cancel what is read for a page."""
        for task in self._tasks.get(page, set()):
            task.cancel()

    async def _run(self, session: str, reader: Reader, content: bytes, arguments: tuple[Any, ...]) -> list[Any]:
        if len(content) <= SMALL_BYTES and not content.startswith(PACKED):
            async with self._turn((session, True), MAX_SMALL):
                return _parse(await asyncio.to_thread(_read, reader, content, arguments))
        async with self._turn((session, False), MAX_LARGE), self._slots:
            answer = await _read_apart(reader, content, arguments)
            return await asyncio.to_thread(_parse, answer)

    @asynccontextmanager
    async def _turn(self, key: tuple[str, bool], max_waiting: int) -> AsyncIterator[None]:
        """Wait until no other content of the session is read. Raises UnreadableError."""
        count = self._counts.get(key, 0)
        if count >= max_waiting:
            raise UnreadableError("files.busy")
        self._counts[key] = count + 1
        turn = self._turns.setdefault(key, asyncio.Lock())
        try:
            async with turn:
                yield
        finally:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key], self._turns[key]


async def _read_apart(reader: Reader, content: bytes, arguments: tuple[Any, ...]) -> bytes:
    """Read in a process of its own; return its answer. Raises UnreadableError where its bounds ended it."""
    async with BoundedProcess(f"{__name__}:{read_named.__name__}", BOUNDS) as process:
        try:
            return await process.call(content, reader.__module__, reader.__name__, *arguments)
        except BoundsExceededError as error:
            raise UnreadableError("files.too_large") from error


def read_named(content: bytes, module: str, name: str, *arguments: Any) -> bytes:  # noqa: ANN401  JSON
    """Run a reader in the process of its own."""
    return _read(getattr(importlib.import_module(module), name), content, arguments)


def _read(reader: Reader, content: bytes, arguments: Iterable[Any]) -> bytes:
    """Write a line for each piece, and a last one for the result, so that no line takes long to parse."""
    lines: list[str] = []
    left, why = MAX_ANSWER_BYTES, ""
    try:
        for piece in reader(content, *arguments):
            lines.append(json.dumps([piece]))
            left -= len(lines[-1])
            if left < 0:
                raise UnreadableError("files.too_large")  # noqa: TRY301  as the reader itself raises it
    except UnreadableError as error:
        why = error.why
    except MemoryError:
        why = "files.too_large"
    if why:
        lines.clear()
    return "\n".join([*lines, json.dumps({"why": why})]).encode()


def _parse(answer: bytes) -> list[Any]:
    """Return the pieces. Raises UnreadableError, also where the answer is cut: the process was killed."""
    *lines, last = answer.split(b"\n")
    try:
        why = json.loads(last)["why"]
    except (ValueError, TypeError, KeyError):
        why = "files.too_large"
    if why:
        raise UnreadableError(why)
    return [piece for line in lines for piece in json.loads(line)]
