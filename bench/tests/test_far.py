"""The delay between a client and a server: later, in order, and whole."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from imsg_bench.far import ClientSide
from imsg_testing.servers import reserve_port
from imsg_testing.tcp_server import serve_tcp

ONE_WAY_S = 0.05


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet, then echo."""
    writer.write(b"hello\n")
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def close(writer: asyncio.StreamWriter) -> None:
    """End a connection for good."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def far(port: int) -> AsyncIterator[int]:
    """Yield the port of a delay in front of a port."""
    server = await asyncio.get_running_loop().create_server(lambda: ClientSide(port, ONE_WAY_S), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_greeting_takes_a_handshake_and_an_answer_a_round_trip() -> None:
    async with serve_tcp(echo) as port, far(port) as away:
        begun = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", away)
        assert await reader.readline() == b"hello\n"
        assert time.monotonic() - begun >= 3 * ONE_WAY_S
        begun = time.monotonic()
        writer.write(b"one\n")
        assert await reader.readline() == b"one\n"
        assert time.monotonic() - begun >= 2 * ONE_WAY_S
        await close(writer)


async def test_nothing_overtakes_and_nothing_is_lost() -> None:
    """What is said before the server is reached included."""
    lines = [b"%d\n" % number for number in range(500)]
    async with serve_tcp(echo) as port, far(port) as away:
        reader, writer = await asyncio.open_connection("127.0.0.1", away)
        for line in lines:
            writer.write(line)
            await asyncio.sleep(0)
        assert await reader.readline() == b"hello\n"
        assert [await reader.readline() for _ in lines] == lines
        await close(writer)


async def test_an_end_of_one_side_ends_the_other() -> None:
    ended = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()
        writer.close()

    async with serve_tcp(wait) as port, far(port) as away:
        _, early = await asyncio.open_connection("127.0.0.1", away)
        await close(early)  # before it was through
        await asyncio.wait_for(ended.wait(), 60)


async def test_who_can_not_be_reached_ends_the_connection() -> None:
    async with far(reserve_port()) as away:
        reader, writer = await asyncio.open_connection("127.0.0.1", away)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 30)
        await close(writer)
