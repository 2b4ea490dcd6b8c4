"""Undocumented parts of libraries that iMSG uses: each is listed, so that a new version shows which is gone.

The bounds of their versions stand in pyproject.toml; raise one only where this test holds for the new version.
"""

import asyncio
import inspect
from importlib.metadata import version

import aiosqlite
import pika.connection  # type: ignore[import-untyped]
import redis.asyncio
import redis.exceptions
import uvicorn
from aiosmtplib.protocol import SMTPProtocol
from pika.adapters import asyncio_connection  # type: ignore[import-untyped]
from pika.adapters.asyncio_connection import AsyncioConnection  # type: ignore[import-untyped]
from pika.adapters.base_connection import _StreamingProtocolShim  # type: ignore[import-untyped]
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from imsg_broker.rabbitmq.address import parse
from imsg_broker.rabbitmq.amqp import Link
from imsg_database.sqlite_connections import connect


def require(library: str, user: str, thing: object, *names: str) -> None:
    """Fail with a sentence on what is gone and what uses it."""
    missing = [name for name in names if not hasattr(thing, name)]
    where = thing.__name__ if isinstance(thing, type) else type(thing).__name__
    assert not missing, f"{library} {version(library)}: {where} lacks {', '.join(missing)}, on which {user} stands"


async def test_uvicorn_has_what_its_server_and_protocol_are_changed_by() -> None:
    user = "imsg_web.uvicorn_internals"
    config = uvicorn.Config(lambda: None, http=HttpToolsProtocol, lifespan="off", log_config=None)
    config.load()
    server, state = uvicorn.Server(config), ServerState()
    server.lifespan = config.lifespan_class(config)
    protocol = HttpToolsProtocol(config, state, {}, asyncio.get_running_loop())
    protocol.on_message_begin()

    require("uvicorn", user, config, "encoded_headers", "http_protocol_class")
    require(
        "uvicorn", user, server, "capture_signals", "server_state", "lifespan", "shutdown", "started", "should_exit"
    )
    require("uvicorn", user, server.lifespan, "state")
    require("uvicorn", user, state, "default_headers", "connections", "tasks")
    require("uvicorn", user, protocol, "cycle", "loop", "parser", "scope", "url", "headers", "transport")
    require("uvicorn", user, protocol, "_get_upgrade", "_should_upgrade", "_should_upgrade_to_ws")
    require("uvicorn", user, protocol, "handle_websocket_upgrade", "send_400_response", "shutdown", "data_received")
    require("uvicorn", user, protocol, "on_header", "on_headers_complete", "on_message_complete")


async def test_pika_has_the_write_and_the_end_that_are_changed(rabbit_url: str) -> None:
    user = "imsg_broker.rabbitmq.pika_connection"
    address = parse(rabbit_url)
    link = Link(address.hosts[0])
    await link.open(address, "internals")
    try:
        require("pika", user, link._connection, "_transport", "params")
        require("pika", user, link._connection.params, "frame_max")
    finally:
        await link.close()

    require("pika", user, AsyncioConnection, "_output_marshaled_frames", "_terminate_stream")
    require("pika", user, asyncio_connection._AsyncioIOServicesAdapter, "create_streaming_connection")
    require("pika", user, _StreamingProtocolShim, "connection_made", "connection_lost", "eof_received", "data_received")
    written = pika.connection.Connection._output_marshaled_frames.__code__.co_varnames
    assert written[:2] == ("self", "marshaled_frames"), "pika gives frames to be written in another way"


async def test_aiosqlite_ends_its_thread_where_we_change_that() -> None:
    user = "imsg_database.sqlite_connections"
    require("aiosqlite", user, aiosqlite.Connection, "stop", "close")
    parameters = list(inspect.signature(aiosqlite.Connection).parameters)
    assert parameters[:2] == ["connector", "iter_chunk_size"], "aiosqlite makes connections in another way"
    connection = await connect(":memory:")
    require("aiosqlite", user, connection, "_thread")
    await connection.close()
    connection._thread.join(60)  # close() returns before the thread has ended
    assert not connection._thread.is_alive()


async def test_aiosmtplib_keeps_what_is_left_unread_in_its_buffer() -> None:
    protocol = SMTPProtocol()
    require("aiosmtplib", "imsg_smtp.connector", protocol, "_buffer")
    assert bytes(protocol._buffer) == b""

    protocol.connection_made(_Silent())
    protocol.data_received(b"250 half a li")

    assert bytes(protocol._buffer) == b"250 half a li", "aiosmtplib keeps what it has not read elsewhere"


async def test_redis_py_makes_a_connection_that_can_be_taken_over(valkey_url: str) -> None:
    user = "imsg_runtime.redis_pipe"
    client = redis.asyncio.Redis.from_url(valkey_url)
    try:
        require("redis", user, client.connection_pool, "get_connection")
        connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        require("redis", user, connection, "connect", "disconnect", "_writer", "_parser")
        require("redis", user, connection._parser, "parse_error")
        assert isinstance(connection._parser.parse_error("NOSCRIPT no"), redis.exceptions.NoScriptError)
        transport, former = connection._writer.transport, connection._writer.transport.get_protocol()
        require("redis", user, former, "connection_lost")
        heard = _Hearing(former)
        transport.set_protocol(heard)
        transport.write(b"*1\r\n$4\r\nPING\r\n")
        assert await heard.data == b"+PONG\r\n", "redis-py reads what comes on a connection elsewhere"
        await connection.disconnect()
        await connection.connect()
        assert connection._writer.transport is not transport
    finally:
        await client.aclose()


class _Hearing(asyncio.Protocol):
    """Takes the first data that comes."""

    def __init__(self, former: asyncio.Protocol) -> None:
        self.data: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._former = former

    def data_received(self, data: bytes) -> None:
        """Set the received data as the result."""
        self.data.set_result(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forward the event to the former protocol."""
        self._former.connection_lost(exc)


class _Silent(asyncio.Transport):
    """Takes everything and says nothing."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return the default."""
        del name
        return default

    def is_closing(self) -> bool:
        """Stay open."""
        return False
