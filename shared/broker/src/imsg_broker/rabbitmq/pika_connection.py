"""The private parts of pika that the adapter uses: how a connection reads, writes and ends.

pyproject.toml bounds pika's version, and `tests/contract/test_internals.py` checks that these parts exist.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pika.exceptions  # type: ignore[import-untyped]
from pika.adapters.asyncio_connection import (  # type: ignore[import-untyped]
    AsyncioConnection,
    _AsyncioIOServicesAdapter,
)
from pika.adapters.utils.nbio_interface import AbstractIOReference  # type: ignore[import-untyped]

from imsg_broker.rabbitmq import frames
from imsg_runtime.logs import logger

log = logger(__name__)


class Stream(asyncio.Protocol):
    """pika's stream interface on a transport of the event loop (docs/performance.md).

    pika's own stream polls the socket before each write and reads until it would block: four system calls in two
    iterations of the loop, instead of two calls in one.
    """

    def __init__(self, protocol: Any) -> None:  # noqa: ANN401  pika's, which has no types
        self._protocol = protocol
        self._transport: Any = None
        self._is_linked = False
        self._end: tuple[Exception | None] | None = None

    def link(self) -> None:
        """Connect pika's protocol to the stream, and report a connection that was lost meanwhile."""
        self._is_linked = True
        self._protocol.connection_made(self)
        if self._end is not None:
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, *self._end)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass data to pika."""
        self._protocol.data_received(data)

    def eof_received(self) -> bool:
        """Pass the end of the data to pika; False closes the transport."""
        return bool(self._is_linked and self._protocol.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end of the connection to pika, once the stream is linked."""
        if self._is_linked:
            self._protocol.connection_lost(exc)
        else:
            self._end = (exc,)

    def write(self, data: bytes) -> None:
        """Write data; do nothing while the transport closes."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        """Close at once; `connection_lost` follows."""
        self._transport.abort()

    def get_protocol(self) -> Any:  # noqa: ANN401
        """Return pika's protocol."""
        return self._protocol

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that are not written yet."""
        return int(self._transport.get_write_buffer_size())


class _Opening(AbstractIOReference):  # type: ignore[misc]
    """A stream that is being opened."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.ensure_future(work)

    def cancel(self) -> bool:
        """Cancel the opening; return False if it was done."""
        return self._task.cancel()


async def _open(
    make_protocol: Callable[[], Any],
    sock: socket.socket,
    on_done: Callable[[Any], None],
    context: ssl.SSLContext | None,
    name: str | None,
) -> None:
    """Open a stream on a socket, with TLS if wanted; call `on_done` with (stream, protocol) or the error."""
    protocol = make_protocol()
    stream = Stream(protocol)
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: stream, sock=sock, ssl=context, server_hostname=None if context is None else name or ""
        )
    except Exception as error:  # noqa: BLE001  on_done gets it
        sock.close()
        on_done(error)
    except BaseException:
        sock.close()
        raise
    else:
        stream.link()
        on_done((stream, protocol))


class _Services(_AsyncioIOServicesAdapter):  # type: ignore[misc]
    """pika's adapter of the event loop, with `Stream` for its streams."""

    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], Any],
        sock: socket.socket,
        on_done: Callable[[Any], None],
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> AbstractIOReference:
        """Open a stream on a connected socket, which it closes on errors."""
        return _Opening(_open(protocol_factory, sock, on_done, ssl_context, server_hostname))


class Connection(AsyncioConnection):  # type: ignore[misc]
    """pika's connection with one write for all frames of an iteration of the loop, and an immediate abort.

    Deliveries and confirms of channels with a callback are decoded here, all other frames by pika.
    """

    _unwritten: list[bytes] | None = None

    def __init__(self, parameters: Any, **callbacks: Any) -> None:  # noqa: ANN401  pika's own
        self.on_delivery: dict[int, Callable[[frames.Delivered], None]] = {}
        """Channel number → callback of its deliveries."""
        self.on_confirm: dict[int, Callable[[int, bool, bool], None]] = {}
        """Channel number → callback of its confirms: tag, multiple, True."""
        self._unread = b""
        self._loop = asyncio.get_running_loop()
        super().__init__(parameters, custom_ioloop=_Services(self._loop), **callbacks)

    def _on_data_available(self, data_in: bytes) -> None:
        """Decode received data frame by frame, frequent frames without an object for each."""
        if self._frame_buffer:  # pika has an incomplete frame
            super()._on_data_available(data_in)
            return
        data = self._unread + data_in if self._unread else data_in
        self._unread = b""
        at = 0
        while at < len(data):
            message, end = frames.read(data, at)
            if end == at:
                break
            if end < 0:
                super()._on_data_available(data[at:])
                return
            if message is not None and self._dispatch(message):
                self.bytes_received += end - at  # pika checks heartbeats by it
            else:
                super()._on_data_available(data[at:end])
            at = end
        self._unread = data[at:]

    def _dispatch(self, message: frames.Delivered | frames.Confirmed) -> bool:
        if isinstance(message, frames.Delivered):
            if (handle := self.on_delivery.get(message.channel)) is not None:
                handle(message)
                return True
        elif (confirm := self.on_confirm.get(message.channel)) is not None:
            confirm(message.tag, message.multiple, True)  # noqa: FBT003  AMQP's own fields
            return True
        return False

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        """Collect frames and write them together at the end of the loop's iteration."""
        if self._unwritten is None:
            self._unwritten = []
            self._loop.call_soon(self._write)
        self._unwritten += marshaled_frames

    def _write(self) -> None:
        unwritten, self._unwritten = self._unwritten, None
        if not unwritten or self._transport is None:
            return
        try:
            super()._output_marshaled_frames((b"".join(unwritten),))
        except Exception:
            log.exception("bug", where="pika_connection")

    def write(self, written: bytes) -> None:
        """Write encoded frames."""
        self._output_marshaled_frames((written,))

    def abort(self, reason: str) -> None:
        """Close the socket without the close handshake."""
        if not self.is_closed:
            self._terminate_stream(pika.exceptions.StreamLostError(reason))
