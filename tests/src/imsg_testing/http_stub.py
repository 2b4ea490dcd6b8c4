"""An HTTP server that gives the answers a test wrote down and records the requests."""

import asyncio
import inspect
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any
from urllib.parse import parse_qs, urlsplit

from imsg_testing.tcp_server import LoopThread, serve_tcp

HEAD_END = b"\r\n\r\n"


class Act(Enum):
    """What a server does instead of answering."""

    HANG = auto()
    """Send nothing until the client disconnects."""
    RESET = auto()
    """It reads the request and resets the connection."""


@dataclass(frozen=True, slots=True)
class BreakOff:
    """Send these bytes and close the connection."""

    said: bytes = b""


Step = bytes | Act | BreakOff
"""The bytes of an answer, or an act instead. `connection: close` in an answer closes the connection."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One received request."""

    head: bytes
    """With the empty line that ends it."""
    body: bytes

    @property
    def verb(self) -> str:
        """GET, POST and so on."""
        return self._line[0]

    @property
    def target(self) -> str:
        """The request target: the path with its query, or a whole URL at a proxy."""
        return self._line[1]

    @property
    def path(self) -> str:
        """The path alone."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The first value of each name behind the question mark."""
        return first_values(urlsplit(self.target).query)

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in small letters."""
        pairs = (line.partition(":") for line in self.head.decode("latin-1").split("\r\n")[1:])
        return {name.lower(): value.strip() for name, _, value in pairs if name}

    @property
    def json(self) -> Any:  # noqa: ANN401  whatever was sent
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def _line(self) -> list[str]:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")


CUT = BreakOff(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{")
"""It ends in the middle of an answer."""

Answer = Callable[[Asked], Step | Awaitable[Step]]


class HttpStub:
    """The running server."""

    def __init__(self, answer: Answer) -> None:
        self.connections: list[list[Asked]] = []
        """The requests of each connection, oldest connection first."""
        self.asked: list[Asked] = []
        """The requests in the order of arrival."""
        self.port = 0
        self._answer = answer

    @property
    def url(self) -> str:
        """Its URL without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["HttpStub"]:
        """Listen on a free port for as long as the context lasts."""
        async with serve_tcp(self._serve, tls) as self.port:
            yield self

    @contextmanager
    def running_apart(self) -> Iterator["HttpStub"]:
        """Run the stub in a thread of its own, for a test without a loop."""
        with LoopThread().running(self.running()):
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[Asked] = []
        self.connections.append(mine)
        while True:
            asked = await _read(reader)
            mine.append(asked)
            self.asked.append(asked)
            step = self._answer(asked)
            if not await _play(await step if inspect.isawaitable(step) else step, reader, writer):
                return


def reply(
    content: Any = b"",  # noqa: ANN401  bytes and text as they are, the rest as JSON
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Write an answer."""
    match content:
        case bytes():
            body = content
        case str():
            body = content.encode()
        case _:
            body = json.dumps(content).encode()
    lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
    head = "\r\n".join((f"HTTP/1.1 {status} Any", f"content-length: {len(body)}", *lines, "", ""))
    return head.encode("latin-1") + body


def first_values(form: str) -> dict[str, str]:
    """Read a form or a query; of a name that comes twice the first value counts."""
    return {name: values[0] for name, values in parse_qs(form).items()}


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = await reader.readuntil(HEAD_END)
    length = int(Asked(head, b"").headers.get("content-length") or 0)
    return Asked(head, await reader.readexactly(length))


async def _play(step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Play a step; return whether the connection stays open."""
    match step:
        case bytes():
            writer.write(step)
            await writer.drain()
            return b"connection: close" not in step.partition(HEAD_END)[0].lower()
        case Act.HANG:
            await reader.read()
        case Act.RESET:
            writer.transport.abort()
        case BreakOff(said):
            writer.write(said)
            await writer.drain()
    return False
