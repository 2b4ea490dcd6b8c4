"""A WeChat that does as it is told: a real HTTP server whose answers a test writes down beforehand."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN_PATH = "/cgi-bin/stable_token"
SEND_PATH = "/cgi-bin/message/template/send"

FIRST_MSGID = 9_007_199_254_740_993
"""2^53 + 1: read as a float it is another number."""


class Act(Enum):
    """What a server does instead of answering."""

    HANG = auto()
    RESET = auto()
    """Reads the request, then resets the connection."""
    CUT = auto()
    """Ends in the middle of the answer."""


Step = Mapping[str, Any] | bytes | int | Act
"""A JSON answer, raw bytes as the body, an HTTP status, or an act."""


@dataclass(frozen=True)
class Request:
    """One call as it came in."""

    method: str
    path: str
    token: str | None
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of it."""
        read: dict[str, Any] = json.loads(self.raw)
        return read


@dataclass
class WeChatServer:
    """Answers token calls and others by the steps written down, the last one for ever; else as if all were well."""

    sends: Sequence[Step] = ()
    tokens: Sequence[Step] = ()
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    _msgid: int = FIRST_MSGID

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def of(self, path: str) -> list[Request]:
        """Return the calls of a path."""
        return [request for request in self.requests if request.path == path]

    @property
    def sent(self) -> list[Request]:
        """Return the calls that send."""
        return self.of(SEND_PATH)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while (request := await _request(reader)) is not None:
                    self.requests.append(request)
                    if not await self._answer(writer, self._step(request)):
                        break
        finally:
            writer.close()

    def _step(self, request: Request) -> Step:
        steps = self.tokens if request.path == TOKEN_PATH else self.sends
        at = len(self.of(request.path)) - 1
        if steps and (at < len(steps) or len(steps) == 1):
            return steps[min(at, len(steps) - 1)]
        if request.path == TOKEN_PATH:
            return {"access_token": f"TOKEN-{at}", "expires_in": 7200}
        self._msgid += 1
        return {"errcode": 0, "errmsg": "ok", "msgid": self._msgid - 1}

    async def _answer(self, writer: asyncio.StreamWriter, step: Step) -> bool:
        match step:
            case Act.HANG:
                await asyncio.sleep(60)
                return False
            case Act.RESET:
                writer.transport.abort()
                return False
            case Act.CUT:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
                await writer.drain()
                return False
            case int():
                await _write(writer, step, b"<html>no</html>")
            case bytes():
                await _write(writer, 200, step)
            case _:
                await _write(writer, 200, json.dumps(step).encode())
        return True


async def _request(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *headers = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    length = next((int(one.split(":")[1]) for one in headers if one.lower().startswith("content-length:")), 0)
    body = await reader.readexactly(length)
    split = urlsplit(target)
    return Request(method, split.path, parse_qs(split.query).get("access_token", [None])[0], body)


async def _write(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
    writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    writer.write(body)
    await writer.drain()


@asynccontextmanager
async def wechat_server(sends: Sequence[Step] = (), tokens: Sequence[Step] = ()) -> AsyncIterator[WeChatServer]:
    """Run one on a free port."""
    server = WeChatServer(sends, tokens)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(server.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
