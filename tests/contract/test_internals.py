"""What iMSG uses inside libraries, unpromised: each name stands here, so that a new version says which is gone.

The bounds of their versions stand in pyproject.toml; raise one only where this test holds for the new version.
"""

import asyncio
from importlib.metadata import version

import httpcore
import pika.connection  # type: ignore[import-untyped]
import redis.asyncio
import uvicorn
from aiosmtplib.protocol import SMTPProtocol
from pika.adapters.asyncio_connection import AsyncioConnection  # type: ignore[import-untyped]
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from imsg_broker.rabbitmq.address import parse
from imsg_broker.rabbitmq.amqp import Link


def require(library: str, user: str, thing: object, *names: str) -> None:
    """Fail with a sentence that says what is gone and who stands on it."""
    missing = [name for name in names if not hasattr(thing, name)]
    where = thing.__name__ if isinstance(thing, type) else type(thing).__name__
    assert not missing, f"{library} {version(library)}: {where} lacks {', '.join(missing)}, on which {user} stands"


async def test_uvicorn_has_what_its_server_and_protocol_are_changed_by() -> None:
    user = "imsg_runtime.uvicorn_internals"
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
    user = "imsg_broker.rabbitmq.amqp"
    address = parse(rabbit_url)
    link = Link(address.hosts[0])
    await link.open(address, "internals")
    try:
        require("pika", user, link._connection, "_transport", "params")
        require("pika", user, link._connection.params, "frame_max")
    finally:
        await link.close()

    require("pika", user, AsyncioConnection, "_output_marshaled_frames", "_terminate_stream")
    written = pika.connection.Connection._output_marshaled_frames.__code__.co_varnames
    assert written[:2] == ("self", "marshaled_frames"), "pika gives frames to be written in another way"


async def test_aiosmtplib_keeps_what_is_left_unread_in_its_buffer() -> None:
    protocol = SMTPProtocol()
    require("aiosmtplib", "imsg_smtp.connections", protocol, "_buffer")
    assert bytes(protocol._buffer) == b""

    protocol.connection_made(_Silent())
    protocol.data_received(b"250 half a li")

    assert bytes(protocol._buffer) == b"250 half a li", "aiosmtplib keeps what it has not read elsewhere"


def test_httpcore_makes_a_connection_apart_from_its_pool() -> None:
    user = "imsg_sms.providers.clients"
    require("httpcore", user, httpcore.AsyncConnectionPool, "create_connection")
    origin = httpcore.Origin(b"http", b"127.0.0.1", 9)
    connection = httpcore.AsyncConnectionPool(keepalive_expiry=1).create_connection(origin)

    require("httpcore", user, connection, "request", "is_idle", "has_expired", "aclose")


async def test_redis_py_lends_a_connection_that_writes_packed_commands(valkey_url: str) -> None:
    user = "imsg_runtime.redis"
    client = redis.asyncio.Redis.from_url(valkey_url)
    try:
        pool = client.connection_pool
        require("redis", user, pool, "get_connection", "release")
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        require("redis", user, connection, "send_packed_command", "read_response")
        await connection.send_packed_command(b"*1\r\n$4\r\nPING\r\n" * 2, check_health=False)
        answers = [await connection.read_response(disable_decoding=True) for _ in range(2)]
        await pool.release(connection)
    finally:
        await client.aclose()

    assert answers == [b"PONG", b"PONG"], "redis-py no longer answers command by command what was written at once"


class _Silent(asyncio.Transport):
    """Takes everything and says nothing."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Know nothing."""
        del name
        return default

    def is_closing(self) -> bool:
        """Stay open."""
        return False
