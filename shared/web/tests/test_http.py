"""How answers go out: a head at once where its body takes long, and the whole of it before a connection ends."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive, Scope, Send

from imsg_web.bodies import InboundLimits
from imsg_web.clients import Clients
from imsg_web.http import MAX_MESSAGE_BYTES
from imsg_web.responses import ApiResponse
from imsg_web.server import serve

ANSWER = ApiResponse({"errorCode": 0, "errorMessage": "OK"})
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class App:
    """Answers at once; under /slow its body waits for `go`."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; accept a WebSocket until it ends."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        if scope["path"] != "/slow":
            await ANSWER(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await self.go.wait()
        await send({"type": "http.response.body", "body": b"done"})


@asynccontextmanager
async def serving(
    app: App, max_connections: int | None = None, inbound_limits: InboundLimits | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve an app as every service is served, to so many connections of an address; yield one."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    listens = asyncio.Event()
    never: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    inbound_limits = inbound_limits or InboundLimits(Clients(()), connections_per_network=max_connections)
    serving = asyncio.create_task(
        serve(app, sock, inbound_limits, on_stop=lambda: None, failure=never, on_listening=listens.set, unready_s=0)
    )
    async with asyncio.timeout(60):
        await listens.wait()
        reader, writer = await asyncio.open_connection(*sock.getsockname())
        try:
            yield reader, writer
        finally:
            writer.close()
            never.set_result(RuntimeError("the test is over"))
            await serving


async def test_a_head_does_not_wait_for_a_body_that_is_long_in_coming() -> None:
    """Who streams is heard from at once."""
    app = App()
    async with serving(app) as (reader, writer):
        writer.write(SLOW)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        app.go.set()
        assert await reader.readexactly(4) == b"done"


async def test_an_answer_that_ends_its_connection_is_whole() -> None:
    """What waits to be written goes out before the close."""
    async with serving(App()) as (reader, writer):
        writer.write(REQUEST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        assert (await reader.read()).endswith(bytes(ANSWER.body))


async def test_a_client_that_keeps_its_connection_for_seconds_may_use_it_again() -> None:
    """Clients such as httpx keep one for five seconds: a server that closes it then loses what comes at that moment."""
    async with serving(App()) as (reader, writer):
        for wait_s in (0.0, 6.0):
            await asyncio.sleep(wait_s)
            writer.write(REQUEST)
            await reader.readuntil(bytes(ANSWER.body))


async def test_a_websocket_is_a_connection_until_it_ends() -> None:
    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection(*other.get_extra_info("peername"))
        writer.write(REQUEST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        answer = await reader.read()
        writer.close()
        return answer

    async with serving(App(), max_connections=1) as (reader, other):
        other.write(UPGRADE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert b"too_many_connections" in await ask()
        other.close()
        async with asyncio.timeout(60):
            while not (await ask()).startswith(b"HTTP/1.1 200"):  # noqa: ASYNC110  only the port knows
                await asyncio.sleep(0.01)


async def test_a_message_of_a_websocket_that_is_too_large_is_refused_before_it_comes() -> None:
    async with serving(App()) as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x82\xff" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big") + b"mask")
        opcode, length, code = await reader.readexactly(1), await reader.readexactly(1), await reader.readexactly(2)
    assert (opcode, length >= b"\x02", int.from_bytes(code, "big")) == (b"\x88", True, 1009)


async def test_an_unfinished_message_is_held_and_one_that_exceeds_its_share_is_refused() -> None:
    """Whether it comes in one frame or in fragments; a finished message, and a lost connection, hold nothing."""
    inbound_limits = InboundLimits(Clients(()), max_in_flight=8_000, shares=2)
    whole, first, more, last = (flags + b"\xfe\x05\xdcmask" for flags in (b"\x82", b"\x02", b"\x00", b"\x80"))
    piece = b"x" * 1_500

    async def holds(octets: int) -> None:
        async with asyncio.timeout(60):
            while (inbound_limits.held, inbound_limits.held_by.get("127.0.0.1", 0)) != (octets, octets):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async with serving(App(), inbound_limits=inbound_limits) as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first + piece[:500])
        await holds(500)
        writer.write(piece[500:] + more[:3])
        await holds(1_500)
        writer.write(more[3:] + piece + b"\x89\x80mask")
        await holds(3_000)
        writer.write(last + piece[:1_200])
        assert (await reader.read())[-4:] == b"\x88\x02\x03\xf5"
        await holds(0)
    async with serving(App(), inbound_limits=inbound_limits) as (reader, writer):
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole + piece[1:])
        await holds(1_499)
        writer.write(piece[:1])
        await holds(0)
