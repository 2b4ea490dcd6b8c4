"""HTTP/1.1 as clients speak it, within bounds: raw UTF-8 in a request line is read, what is no HTTP is answered too."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httptools

from imsg_contract.errors import Refusal
from imsg_web.bodies import BODY_COMPLETE, Intake
from imsg_web.clients import network_of
from imsg_web.responses import JSON, PRIVATE, encode
from imsg_web.uvicorn_internals import UvicornProtocol
from imsg_web.websocket_intake import WebSocketIntake

_ASCII = "".join(map(chr, range(0x80)))

MAX_HEAD_BYTES = 32 * 1024
"""A request's first line and headers: four times what browsers and proxies let through (nginx: 8 KiB a line)."""

HEAD_S = 10.0
"""How long a head may take from the connection's beginning, or from its first byte where others came before."""

FIRST_BYTE_S = 2.0
"""How long a connection that has not said anything yet stays open once the port is closed: its request is on the way,
or a proxy keeps it for the next one (the edge for 1 s)."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Of one message of a WebSocket, refused by the length it declares; what an app takes of a stranger's is far less."""

LINGER_S = 30.0
"""How long the rest of a body is still taken, unread, behind an answer that ends its connection: as nginx does, and
enough for 16 MiB at 5 Mbit/s."""

_OF_THE_OFFER = frozenset((b"connection", b"upgrade", b"http2-settings"))
"""Headers that mean nothing once an offered upgrade is left alone."""


def make_protocol(intake: Intake) -> Any:  # noqa: ANN401  uvicorn's `http`: what makes a protocol, though it says a class
    """Make what serves each connection, for `uvicorn.Config`."""
    return partial(Protocol, intake)


class _ClientTransport:
    """A connection that is not closed on a client in the middle of its body, and whose answers go out in one piece.

    The kernel answers what comes after a close with a reset, and that takes the answer from a client which reads only
    once it has written all: most do. So our side alone is closed, and the rest thrown away until theirs is too.

    uvicorn writes an answer's head and its body apart, a system call and a packet each; what is written within one turn
    of the loop waits here for what follows it (docs/performance.md).
    """

    def __init__(self, transport: asyncio.Transport, protocol: "Protocol") -> None:
        self.transport = transport
        self.is_lingering = False
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._head: bytes | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever uvicorn wants of a transport
        return getattr(self.transport, name)

    def write(self, data: bytes) -> None:
        """Write a piece: with the one before where that waits, or at the end of this turn."""
        if self._head is not None:
            data, self._head = self._head + data, None
            self.transport.write(data)
        else:
            self._head = data
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._head is not None:
            data, self._head = self._head, None
            self.transport.write(data)

    def close(self) -> None:
        """Close it, or begin to: a second call always does."""
        self._flush()
        if self.is_lingering or self.transport.is_closing() or not self._protocol.is_amid_body():
            self.transport.close()
            return
        self.is_lingering = True
        self.transport.write_eof()
        self.transport.resume_reading()
        self._deadline = self._loop.call_later(LINGER_S, self.transport.close)

    def is_closing(self) -> bool:
        """Tell whether nothing more is to be answered here."""
        return self.is_lingering or self.transport.is_closing()

    def end(self) -> None:
        """Wait for nothing more: the connection has ended."""
        if self._deadline is not None:
            self._deadline.cancel()


class Protocol(UvicornProtocol):
    """uvicorn's protocol with six of its habits softened, behind an intake."""

    def __init__(self, intake: Intake, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  uvicorn's own
        super().__init__(*arguments, **named)
        self._intake = intake
        self._leave: Callable[[], None] | None = None
        """What takes the connection from the count."""
        self._may_be_request_line = True
        self._is_amid_request = True
        self._is_broken = False
        self._data = b""
        self._client: _ClientTransport
        self._is_amid_head = True
        self._head_bytes = 0
        """Of a head that came in several pieces: what the pieces before had."""
        self._head_deadline: asyncio.TimerHandle | None = None
        self._refusal: Refusal | None = None
        """What is wrong with a head, where that is said while it is parsed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        self._client = _ClientTransport(transport, self)
        super().connection_made(self._client)  # type: ignore[arg-type]  # a transport in all but name
        peer = transport.get_extra_info("peername")
        self._leave = self._intake.admit(str(peer[0]) if peer else "")
        if self._leave is None:
            self._client.is_lingering = True  # nothing of it is waited for
            self._refuse(429, Refusal("too_many_connections", limit=self._intake.connections_per_network))
            return
        self._head_deadline = self.loop.call_later(HEAD_S, self._give_up_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._client.end()
        self._forget_deadline()
        if self._leave is not None:
            self._leave()
        super().connection_lost(exc)

    def is_amid_body(self) -> bool:
        """Tell whether a request has its answer and the client is still writing it."""
        return self._is_broken or (self.has_answered and self._is_amid_request)

    def data_received(self, data: bytes) -> None:
        """Percent-encode raw UTF-8 in a request line (curl and others never encode), which the parser refuses."""
        if self._client.is_lingering:
            return
        if self._may_be_request_line:
            line, newline, rest = data.partition(b"\n")
            if not line.isascii():
                data = quote(line, safe=_ASCII).encode("ascii") + newline + rest
            self._may_be_request_line = not newline
        self._data = data
        super().data_received(data)
        if self._is_amid_head and not self._is_broken and self.is_parsing:
            self._wait_for_head(len(data))

    def _wait_for_head(self, more: int) -> None:
        """Bound a head whose end has not come yet: its size, and by when it has to."""
        self._head_bytes += more
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, Refusal("head_too_large", limit=MAX_HEAD_BYTES))
        elif self._head_deadline is None:
            self._head_deadline = self.loop.call_later(HEAD_S, self._give_up_head)

    def _give_up_head(self) -> None:
        """End a connection whose head does not come; without a word where none of it has."""
        self._head_deadline = None
        if self.is_answering:  # an answer to the one before is on its way
            self._head_deadline = self.loop.call_later(HEAD_S, self._give_up_head)
        elif self._head_bytes:
            self._refuse(408, Refusal("head_incomplete", seconds=round(HEAD_S)))
        elif self._client is not None:
            self._client.transport.close()

    def _forget_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def handle_websocket_upgrade(self) -> None:
        """Go on with HTTP/1.1 where anything but a websocket is offered, as RFC 9110 (7.8) lets a server do.

        Java's HttpClient offers HTTP/2 with its first request, and uvicorn would take that request's body for HTTP/2.
        """
        if self.offers_websocket():
            transport = self.transport = self._client.transport
            network = network_of(self._intake.clients.address(dict(self.scope)))
            super().handle_websocket_upgrade()
            if self._leave is not None:
                # uvicorn hands the transport to another protocol, which alone learns of its end.
                protocol = WebSocketIntake(transport.get_protocol(), transport, self._intake, network, self._leave)
                transport.set_protocol(protocol)  # type: ignore[arg-type]  # a protocol in all but name
            return
        upgrade = sys.exception()
        assert isinstance(upgrade, httptools.HttpParserUpgrade)  # noqa: S101  uvicorn calls this where it has caught one
        rest = self._data[upgrade.args[0] :]
        lines = [self.request_line]
        for name, value in self.headers:
            if name == b"connection" and b"close" in value.lower():
                lines.append(b"connection: close")
            elif name not in _OF_THE_OFFER:
                lines.append(name + b": " + value)
        self.restart_parser()
        super().data_received(b"\r\n".join((*lines, b"", b"")) + rest)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._is_amid_request = True
        self._is_amid_head = True
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header: the request line is over, also of a request that came in one piece with the one before."""
        self._may_be_request_line = False
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End a head. One that is too long is refused before anybody is asked about it."""
        self._is_amid_head = False
        self._forget_deadline()
        if self._head_bytes + len(self._data) > MAX_HEAD_BYTES and self.head_length > MAX_HEAD_BYTES:
            self._refusal = Refusal("head_too_large", limit=MAX_HEAD_BYTES)
            raise ValueError(self._refusal.reason)  # what stops the parser
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request: what follows is the next one's line."""
        super().on_message_complete()
        self.mark_scope(BODY_COMPLETE)
        self._may_be_request_line = True
        self._is_amid_request = False

    def shutdown(self) -> None:
        """End after the answer to what is on its way; at once where nothing is."""
        if self.is_answering:
            super().shutdown()
        elif self._is_amid_request:  # its head is not whole, or not even its first byte is here
            self.loop.call_later(FIRST_BYTE_S, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as everything is answered, and close."""
        del msg
        if self._refusal is not None:
            self._refuse(431, self._refusal)
        else:
            self._refuse(400, Refusal("not_http"))

    def _refuse(self, status: int, refusal: Refusal) -> None:
        self._is_broken = True
        self._forget_deadline()
        body = encode(refusal.answer(english=False))
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            f"content-type: {JSON}",
            *(f"{name.decode()}: {value.decode()}" for name, value in PRIVATE),
            f"content-length: {len(body)}",
            "connection: close",
        )
        self.transport.write("\r\n".join((*head, "", "")).encode("ascii") + body)
        self.transport.close()
