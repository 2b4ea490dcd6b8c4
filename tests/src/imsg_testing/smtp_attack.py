"""Hostile SMTP clients: slow ones, endless lines, guesses, large mails, noise, too many connections."""

import asyncio
import contextlib
import secrets
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"
PATIENCE_S = 10.0
"""Seconds that a client waits for the end of its connection."""

PAUSE_S = 0.05
MIB = 1024 * 1024
BEGIN = b"EHLO x.example.org\r\nMAIL FROM:<a@example.org>\r\n"

BUSY = "421 4.3.2"
"""The reply while all connections are used."""


class Attack:
    """Attackers in a loop and thread of their own; what they are answered is counted by its code."""

    def __init__(self, port: int, domain: str) -> None:
        """Make an attack; `domain` is one whose mail the listener accepts."""
        self.answers: Counter[str] = Counter()
        """`421 4.3.2`, `550 5.1.1` …, or the code alone where no status follows → how often."""
        self._port = port
        self._domain = domain
        self._is_over = threading.Event()
        self._crowd = threading.Event()

    def grow(self) -> None:
        """Open many connections that send nothing."""
        self._crowd.set()

    def stop(self) -> None:
        """End all of them."""
        self._is_over.set()

    async def run(self) -> None:
        """Attack until it is over."""
        others = [self._write_endless_line, self._guess, self._send_too_much, self._send_short_lines]
        kinds = [self._dribble] * 16 + [*others, self._send_empty_lines, self._babble] * 2
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                group.create_task(self._again(kind, lambda: True))
            for _ in range(48):
                group.create_task(self._again(self._dribble, self._crowd.is_set))

    async def _again(self, kind: Callable[[], Awaitable[None]], may_begin: Callable[[], bool]) -> None:
        while not self._is_over.is_set():
            if may_begin():
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        await kind()
            await asyncio.sleep(PAUSE_S)

    async def _dribble(self) -> None:
        """Send a command letter by letter, for ever."""
        async with self._connected() as (reader, writer):
            reading = asyncio.create_task(reader.read())
            while not self._is_over.is_set() and not reading.done():
                writer.write(b"E")
                await asyncio.sleep(4 * PAUSE_S)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                self._count_answers(await reading)

    async def _write_endless_line(self) -> None:
        await self._exchange(b"EHLO " + b"x" * (2 * MIB) + b"\r\n")

    async def _guess(self) -> None:
        wrong = [f"b+{'a' * 45}@{self._domain}", "someone@elsewhere.example"] * 10
        await self._exchange(BEGIN + b"".join(f"RCPT TO:<{transcript}>\r\n".encode() for transcript in wrong))

    async def _send_too_much(self) -> None:
        await self._exchange(BEGIN + b"RCPT TO:<postmaster>\r\nDATA\r\n" + b"a" * (6 * MIB) + b"\r\n.\r\nQUIT\r\n")

    async def _send_short_lines(self) -> None:
        await self._exchange(BEGIN + b"RCPT TO:<postmaster>\r\nDATA\r\n" + b"a.\r\n" * MIB + b".\r\nQUIT\r\n")

    async def _send_empty_lines(self) -> None:
        await self._exchange(b"\n" * (MIB // 4))

    async def _babble(self) -> None:
        await self._exchange(secrets.token_bytes(4_096) + b"\r\nQUIT\r\n")

    async def _exchange(self, words: bytes) -> None:
        """Send everything and return the replies."""
        async with self._connected() as (reader, writer):
            writer.write(words)
            self._count_answers(await reader.read())

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(HOST, self._port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def _count_answers(self, answered: bytes) -> None:
        for line in answered.decode("ascii", "replace").splitlines():
            code, _, words = line.partition(" ")
            status = words.split(" ")[0]
            self.answers[f"{code} {status}" if status[:2] in {"4.", "5."} else code] += 1


@contextmanager
def attacking(port: int, domain: str) -> Iterator[Attack]:
    """Attack a listener for as long as the context lasts."""
    attack = Attack(port, domain)
    thread = threading.Thread(target=lambda: asyncio.run(attack.run()))
    thread.start()
    try:
        yield attack
    finally:
        attack.stop()
        thread.join()
