"""The end of a port: every accepted connection is answered, and no other is accepted."""

import asyncio
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

GREETER = """
import asyncio, sys
from contextlib import asynccontextmanager
from starlette.responses import PlainTextResponse
from imsg_web import service
from imsg_runtime.settings import Common

@asynccontextmanager
async def opening(_):
    yield PlainTextResponse("hello")

class module:
    app = staticmethod(lambda: service.Service("greeter", Common(port=int(sys.argv[1])), opening))

sys.modules["greeter.main"] = sys.modules["greeter"] = module
sys.exit(service.main(["greeter"]))
"""

REQUEST = b"POST /hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def greeter(reserved_port: int) -> AsyncIterator[tuple[Process, int]]:
    """Yield a service as a process of its own, and its port."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", GREETER, str(reserved_port))
    async with asyncio.timeout(60):
        while not await _is_open(reserved_port):  # noqa: ASYNC110  another process has no event
            await asyncio.sleep(0.02)
    yield process, reserved_port
    if process.returncode is None:
        process.kill()
    await process.wait()


@asynccontextmanager
async def _connect(port: int) -> AsyncIterator[Streams]:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionResetError as error:  # the port was closed in the middle of its handshake: nothing was sent
        raise ConnectionRefusedError from error
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _is_open(port: int) -> bool:
    with suppress(ConnectionRefusedError):
        async with _connect(port):
            return True
    return False


async def _ask(streams: Streams) -> bytes:
    """Send a request and return the head of its answer; empty where the connection ended without one."""
    reader, writer = streams
    writer.write(REQUEST)
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(5) == b"hello"
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    return head.lower()


async def test_answers_end_their_connection_once_the_service_is_asked_to_end(greeter: tuple[Process, int]) -> None:
    """So a proxy keeps no connection that is about to be closed."""
    process, port = greeter
    answers = []
    async with asyncio.timeout(60), _connect(port) as streams:
        before = await _ask(streams)
        process.send_signal(signal.SIGTERM)
        while answer := await _ask(streams):
            answers.append(answer)
            await asyncio.sleep(0.02)
    assert before
    assert b"connection: close" not in before
    assert b"connection: close" in answers[-1]
    assert [answer for answer in answers[:-1] if b"connection: close" in answer] == []


async def test_a_connection_that_was_let_in_is_answered_after_the_port_has_closed(greeter: tuple[Process, int]) -> None:
    """Whose first word, or the rest of whose request, is still on its way."""
    process, port = greeter
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        silent, half = [await stack.enter_async_context(_connect(port)) for _ in range(2)]
        half[1].write(REQUEST[:20])
        process.send_signal(signal.SIGTERM)
        while await _is_open(port):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert b"connection: close" in await _ask(silent)
        half[1].write(REQUEST[20:])
        assert b"connection: close" in await half[0].readuntil(b"\r\n\r\n")


async def test_under_load_every_connection_is_refused_or_answered(greeter: tuple[Process, int]) -> None:
    """A proxy may try again, elsewhere, only what was refused."""
    process, port = greeter
    answered = unanswered = 0

    async def client() -> None:
        nonlocal answered, unanswered
        while True:
            try:
                async with _connect(port) as streams:
                    if await _ask(streams):
                        answered += 1
                    else:
                        unanswered += 1
            except ConnectionRefusedError:
                return

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(client())
        while answered <= 100:  # noqa: ASYNC110  the clients have no event
            await asyncio.sleep(0.02)
        process.send_signal(signal.SIGTERM)
    assert unanswered == 0
