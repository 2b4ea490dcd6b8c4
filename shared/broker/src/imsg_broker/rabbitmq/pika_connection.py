"""The inside of pika that the broker stands on, all of it here: how a connection reads, writes and ends.

None of it is promised by pika: pyproject.toml bounds the versions, and `tests/contract/test_internals.py` names what is
gone where a new one lacks it.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
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
    """A socket as pika wants it, on a transport of the loop's own (docs/performance.md).

    pika's asks the kernel for leave before each write and reads until it is refused: two turns of the loop and four
    calls where the loop's needs one turn and two.
    """

    def __init__(self, protocol: Any) -> None:  # noqa: ANN401  pika's, which has no types
        self._protocol = protocol
        self._transport: Any = None
        self._is_linked = False
        self._end: tuple[Exception | None] | None = None

    def link(self) -> None:
        """Tell pika's protocol that the stream is there; what has ended meanwhile ends after that."""
        self._is_linked = True
        self._protocol.connection_made(self)
        if self._end is not None:
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, *self._end)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand on what has come."""
        self._protocol.data_received(data)

    def eof_received(self) -> bool:
        """Hand on that no more will come, and have the transport closed."""
        return bool(self._is_linked and self._protocol.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on the end."""
        if self._is_linked:
            self._protocol.connection_lost(exc)
        else:
            self._end = (exc,)

    def write(self, data: bytes) -> None:
        """Write, nothing where the stream is ending."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        """Close at once; `connection_lost` follows."""
        self._transport.abort()

    def get_protocol(self) -> Any:  # noqa: ANN401
        """Return pika's protocol."""
        return self._protocol

    def get_write_buffer_size(self) -> int:
        """Return how many octets are not written yet."""
        return int(self._transport.get_write_buffer_size())


class _Linking(AbstractIOReference):  # type: ignore[misc]
    """TLS, where it is wanted, and the link of a stream to its protocol; `on_done` is told the pair, or the error."""

    def __init__(
        self,
        make_protocol: Callable[[], Any],
        sock: socket.socket,
        on_done: Callable[[Any], None],
        context: ssl.SSLContext | None,
        name: str | None,
    ) -> None:
        self._task = asyncio.ensure_future(self._link(make_protocol, sock, on_done, context, name))

    def cancel(self) -> bool:
        """Give up, if it is not done."""
        return self._task.cancel()

    async def _link(
        self,
        make_protocol: Callable[[], Any],
        sock: socket.socket,
        on_done: Callable[[Any], None],
        context: ssl.SSLContext | None,
        name: str | None,
    ) -> None:
        protocol = make_protocol()
        stream = Stream(protocol)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: stream, sock=sock, ssl=context, server_hostname=None if context is None else name or ""
            )
        except Exception as error:  # noqa: BLE001  it is told to who waits for it
            sock.close()
            on_done(error)
        except BaseException:
            sock.close()
            raise
        else:
            stream.link()
            on_done((stream, protocol))


class _Services(_AsyncioIOServicesAdapter):  # type: ignore[misc]
    """pika's view of the loop, with streams that are the loop's own."""

    def create_streaming_connection(
        self,
        protocol_factory: Callable[[], Any],
        sock: socket.socket,
        on_done: Callable[[Any], None],
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> AbstractIOReference:
        """Link a connected socket, which is ours from now on."""
        return _Linking(protocol_factory, sock, on_done, ssl_context, server_hostname)


class Connection(AsyncioConnection):  # type: ignore[misc]
    """pika's connection, with one write for all frames of a turn of the loop, and an end that waits for nobody.

    Deliveries and confirms are read here, of channels that have said who takes them; all else is pika's to read.
    """

    _unwritten: list[bytes] | None = None

    def __init__(self, parameters: Any, **callbacks: Any) -> None:  # noqa: ANN401  pika's own
        self.takers: dict[int, Callable[[frames.Delivered], None]] = {}
        """Channel → who takes its deliveries."""
        self.confirmers: dict[int, Callable[[int, bool, bool], None]] = {}
        """Channel → who is told which of its publishes are acked: tag, multiple, True."""
        self._unread = b""
        self._loop = asyncio.get_running_loop()
        super().__init__(parameters, custom_ioloop=_Services(self._loop), **callbacks)

    def _on_data_available(self, data_in: bytes) -> None:
        """Read what has come: frame by frame, what passes often without an object for each frame."""
        if self._frame_buffer:  # pika waits for the rest of what it was given
            super()._on_data_available(data_in)
            return
        data = self._unread + data_in if self._unread else data_in
        self._unread = b""
        at = 0
        while at < len(data):
            found, end = frames.read(data, at)
            if end == at:
                break
            if end < 0:
                super()._on_data_available(data[at:])
                return
            if found is not None and self._hand_over(found):
                self.bytes_received += end - at  # by which a heartbeat's absence is judged
            else:
                super()._on_data_available(data[at:end])
            at = end
        self._unread = data[at:]

    def _hand_over(self, found: frames.Delivered | frames.Confirmed) -> bool:
        if isinstance(found, frames.Delivered):
            if (take := self.takers.get(found.channel)) is not None:
                take(found)
                return True
        elif (confirm := self.confirmers.get(found.channel)) is not None:
            confirm(found.tag, found.multiple, True)  # noqa: FBT003  AMQP's own fields
            return True
        return False

    def _output_marshaled_frames(self, marshaled_frames: Sequence[bytes]) -> None:
        """Write with what else this turn has to say: a system call a turn instead of one a frame."""
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
        """Write frames that are bytes already."""
        self._output_marshaled_frames((written,))

    def abort(self, reason: str) -> None:
        """Close the socket without a goodbye."""
        if not self.is_closed:
            self._terminate_stream(pika.exceptions.StreamLostError(reason))
