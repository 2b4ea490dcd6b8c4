"""Sends numbered messages over HTTP or SMTP, one after another on each connection, and notes which were accepted.

Runs as a process of its own, the same for every product that is measured: `python -m imsg_bench.peers.flood FILE`. The
file has a `Plan` as JSON. It prints how many messages were accepted, refused and not answered, and writes the numbers
of the accepted ones.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

import uvloop

PLACE = "{number}"
"""Where a message's number stands in a request."""

WIDTH = 8
"""Digits of a number: every request is as long as every other."""

AGAIN_AFTER_S = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """The messages to send, and for how long."""

    protocol: str
    """`http` or `smtp`."""
    port: int
    request: str
    """A whole HTTP request, or a mail's recipient; PLACE stands for the number."""
    accepted: str
    """An answer with this text means that the message was accepted."""
    seconds: float
    connections: int
    first: int
    """The number that is sent first."""
    out: str
    """Where the numbers of the accepted ones are written."""
    mail: str = ""

    def write(self, path: Path) -> None:
        """Write the plan to a file, for the process."""
        path.write_text(json.dumps(asdict(self)))


@dataclass(slots=True)
class FloodResult:
    """How many messages were accepted, refused and not answered."""

    accepted: list[int] = field(default_factory=list)
    refused: int = 0
    unanswered: int = 0
    example: str = ""
    seconds: float = 0.0


async def flood(plan: Plan) -> FloodResult:
    """Send until the time is over; open a new connection in place of one that ends."""
    result = FloodResult()
    numbers = count(plan.first)
    begun = time.monotonic()
    dialogue_type = {"http": Http, "smtp": Smtp}[plan.protocol]
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.connections):
            group.create_task(_repeat(plan, begun + plan.seconds, dialogue_type, lambda: next(numbers), result))
    result.seconds = time.monotonic() - begun
    return result


async def _repeat(
    plan: Plan, end: float, dialogue_type: "type[Dialogue]", draw: Callable[[], int], result: FloodResult
) -> None:
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
        except OSError:
            await asyncio.sleep(AGAIN_AFTER_S)
            continue
        try:
            await _use(plan, end, dialogue_type(plan, reader, writer), draw, result)
        except (OSError, EOFError, ValueError):
            result.unanswered += 1
            await asyncio.sleep(AGAIN_AFTER_S)
        finally:
            writer.close()


async def _use(plan: Plan, end: float, dialogue: "Dialogue", draw: Callable[[], int], result: FloodResult) -> None:
    await dialogue.open()
    while time.monotonic() < end:
        number = draw()
        answer = await dialogue.send(number)
        if plan.accepted in answer:
            result.accepted.append(number)
        else:
            result.refused += 1
            result.example = answer[:300]


class Dialogue:
    """The dialogue on one connection."""

    def __init__(self, plan: Plan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._plan = plan
        self._reader = reader
        self._writer = writer

    async def open(self) -> None:
        """Prepare a connection once, before its first message."""

    async def send(self, number: int) -> str:
        """Send a message; return the answer that decides."""
        raise NotImplementedError


class Http(Dialogue):
    """One request after the other on a connection that stays open."""

    async def send(self, number: int) -> str:
        """Send a request; return its answer, head and body."""
        self._writer.write(fill(self._plan.request, number).encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        if b"content-length:" in lower:
            body = await self._reader.readexactly(int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        elif b"chunked" in lower:
            body = await self._chunks()
        else:
            body = b""
        if b"connection: close" in lower:
            self._writer.close()
        return (head + body).decode(errors="replace")

    async def _chunks(self) -> bytes:
        body = b""
        while octets := int(await self._reader.readline(), 16):
            body += await self._reader.readexactly(octets)
            await self._reader.readline()
        await self._reader.readline()
        return body


class Smtp(Dialogue):
    """One transaction after the other, commands in a group as PIPELINING allows."""

    async def open(self) -> None:
        """Greet."""
        await self._reply()
        self._writer.write(b"EHLO flood.example.com\r\n")
        await self._reply()

    async def send(self, number: int) -> str:
        """Send a mail; return the reply to its end."""
        to = fill(self._plan.request, number)
        self._writer.write(f"MAIL FROM:<flood@example.com>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode())
        replies = [await self._reply() for _ in range(3)]
        if not replies[-1].startswith("354"):
            return " ".join(replies)
        self._writer.write(fill(self._plan.mail, number).encode() + b"\r\n.\r\n")
        return await self._reply()

    async def _reply(self) -> str:
        lines = []
        while True:
            line = (await self._reader.readuntil(b"\n")).decode(errors="replace").rstrip()
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)


def fill(text: str, number: int) -> str:
    """Return the text with its number filled in."""
    return text.replace(PLACE, f"{number:0{WIDTH}}")


def main(path: Path) -> None:
    """Run the plan of a file, and print its summary."""
    plan = Plan(**json.loads(path.read_text()))
    result = uvloop.run(flood(plan))
    Path(plan.out).write_text("\n".join(map(str, result.accepted)))
    summary = {"accepted": len(result.accepted), "refused": result.refused, "unanswered": result.unanswered}
    print(json.dumps({**summary, "example": result.example, "seconds": result.seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
