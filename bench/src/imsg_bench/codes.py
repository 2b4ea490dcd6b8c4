"""Log-in codes by an open loop: each with an address of its own, so that its arrival can be found.

Codes are sent by the schedule, however long earlier answers take. Each uses an idle connection or opens a new one, so
that no code waits for another.
"""

import asyncio
import json
import selectors
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

from imsg_bench.openloop import ACCEPTED, request, schedule

ANSWER_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Code:
    """One code: when it was due, and when its answer arrived (CLOCK_MONOTONIC)."""

    address: str
    due_at: float
    answered_at: float
    accepted: bool


class Codes:
    """Sends codes in turn for several users: `bodies` has one of each, with `ADDRESS` for the recipient."""

    def __init__(self, url: str, bodies: Sequence[str], prefix: str) -> None:
        self.url, self.bodies, self.prefix = url, bodies, prefix
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(self, due: Sequence[float]) -> list[Code]:
        """Send all codes; return their results in the same order."""
        begin = monotonic() + 0.1
        tasks = []
        for number, offset in enumerate(due):
            if (wait := begin + offset - monotonic()) > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(self._send(number, begin + offset)))
        sent = await asyncio.gather(*tasks)
        for _, writer in self._free:
            writer.close()
        return sent

    async def _send(self, number: int, due: float) -> Code:
        address = f"{self.prefix}-{number}@example.com"
        body = self.bodies[number % len(self.bodies)].replace("ADDRESS", address).encode()
        answer = b""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await self._post(request(self.url, body))
        return Code(address, due, monotonic(), ACCEPTED in answer)

    async def _post(self, written: bytes) -> bytes:
        while self._free:
            reader, writer = self._free.pop()
            try:
                return await self._exchange(reader, writer, written)
            except (asyncio.IncompleteReadError, ConnectionError) as closed:
                writer.close()
                if getattr(closed, "partial", b""):
                    raise ConnectionResetError from closed
                continue  # the server ends a connection that was idle for 5 s, and has read nothing then
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
        try:
            return await self._exchange(reader, writer, written)
        except asyncio.IncompleteReadError as closed:
            writer.close()
            raise ConnectionResetError from closed

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, written: bytes) -> bytes:
        writer.write(written)
        head = await reader.readuntil(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length:")
        body = await reader.readexactly(int(length.partition(b"\r\n")[0]))
        self._free.append((reader, writer))
        return body


def main(arguments: Sequence[str]) -> int:
    """Run as a process of its own: URL, file with a body a line, prefix, rate, seconds; prints JSON."""
    url, bodies, prefix, rate, seconds = arguments
    lines = Path(bodies).read_text().splitlines()
    # epoll knows milliseconds only, and would send everything a little late; select knows microseconds.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        sent = runner.run(Codes(url, lines, prefix).run(schedule(float(rate), float(seconds))))
    print(json.dumps([[code.address, code.due_at, code.answered_at, code.accepted] for code in sent]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
