"""uvicorn's HTTP/1.1 with bounds on connections and heads, raw UTF-8 in request lines, malformed HTTP answered."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httptools

from imsg_contract.errors import Refusal
from imsg_web.bodies import BODY_COMPLETE, InboundLimits
from imsg_web.clients import network_of
from imsg_web.responses import JSON, PRIVATE, encode
from imsg_web.uvicorn_internals import UvicornProtocol
from imsg_web.websocket_limits import WebSocketLimits

_ASCII = "".join(map(chr, range(0x80)))

MAX_HEAD_BYTES = 32 * 1024
"""The longest request line and headers: four times what browsers and proxies accept (nginx: 8 KiB a line)."""

HEAD_S = 10.0
"""How long a head may take: from the start of the connection, later from its first byte."""

FIRST_BYTE_S = 2.0
"""How long a connection without a request stays open once the port is closed: its request may be on the way, or a proxy
keeps it for the next one (the edge for 1 s)."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The longest message of a WebSocket, refused by its declared length; an app may accept far less."""

LINGER_S = 30.0
"""How long the rest of a body is received and dropped after an answer that ends its connection, as nginx does: enough
for 16 MiB at 5 Mbit/s."""

_UPGRADE_HEADERS = frozenset((b"connection", b"upgrade", b"http2-settings"))
"""Headers that are dropped when an offered upgrade is ignored."""


def make_protocol(inbound_limits: InboundLimits) -> Any:  # noqa: ANN401  uvicorn's `http`: what makes a protocol, though it says a class
    """Return the factory of protocols for `uvicorn.Config`."""
    return partial(Protocol, inbound_limits)


class _ClientTransport:
    """A transport that is not closed while the client still sends its body (lingering close).

    The kernel answers data after a close with a reset, and a client that reads only after it has sent everything then
    loses the answer. So only the sending side is closed, and the rest is received and dropped.
    """

    def __init__(self, transport: asyncio.Transport, protocol: "Protocol") -> None:
        self.transport = transport
        self.is_lingering = False
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._deadline: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever uvicorn wants of a transport
        return getattr(self.transport, name)

    def close(self) -> None:
        """Close the connection, or begin to linger; a second call always closes."""
        if self.is_lingering or self.transport.is_closing() or not self._protocol.is_amid_body():
            self.transport.close()
            return
        self.is_lingering = True
        self.transport.write_eof()
        self.transport.resume_reading()
        self._deadline = self._loop.call_later(LINGER_S, self.transport.close)

    def is_closing(self) -> bool:
        """Return whether no more answers can be sent."""
        return self.is_lingering or self.transport.is_closing()

    def end(self) -> None:
        """Stop lingering: the connection has ended."""
        if self._deadline is not None:
            self._deadline.cancel()


class Protocol(UvicornProtocol):
    """uvicorn's protocol with `InboundLimits` and bounds that uvicorn has no setting for (docs/performance.md)."""

    def __init__(self, inbound_limits: InboundLimits, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  uvicorn's own
        super().__init__(*arguments, **named)
        self._limits = inbound_limits
        self._release: Callable[[], None] | None = None
        """Removes the connection from the count."""
        self._may_be_request_line = True
        self._is_amid_request = True
        self._is_broken = False
        self._data = b""
        self._client: _ClientTransport
        self._is_amid_head = True
        self._head_bytes = 0
        """The octets of earlier pieces of a head."""
        self._head_deadline: asyncio.TimerHandle | None = None
        self._refusal: Refusal | None = None
        """Why a head is refused, set while it is parsed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit a connection, or refuse it."""
        self._client = _ClientTransport(transport, self)
        super().connection_made(self._client)  # type: ignore[arg-type]  # has a transport's interface
        peer = transport.get_extra_info("peername")
        self._release = self._limits.admit(str(peer[0]) if peer else "")
        if self._release is None:
            self._client.is_lingering = True  # its request is not read
            self._refuse(429, Refusal("too_many_connections", limit=self._limits.connections_per_network))
            return
        self._head_deadline = self.loop.call_later(HEAD_S, self._end_head)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._client.end()
        self._forget_deadline()
        if self._release is not None:
            self._release()
        super().connection_lost(exc)

    def is_amid_body(self) -> bool:
        """Return whether a request has its answer and the client still sends its body."""
        return self._is_broken or (self.has_answered and self._is_amid_request)

    def data_received(self, data: bytes) -> None:
        """Percent-encode raw UTF-8 in a request line, which curl sends and the parser refuses."""
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
        """Bound the size and the time of an unfinished head."""
        self._head_bytes += more
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, Refusal("head_too_large", limit=MAX_HEAD_BYTES))
        elif self._head_deadline is None:
            self._head_deadline = self.loop.call_later(HEAD_S, self._end_head)

    def _end_head(self) -> None:
        """Close a connection whose head does not arrive; answer 408 where part of it has."""
        self._head_deadline = None
        if self.is_answering:  # the request before is still being answered
            self._head_deadline = self.loop.call_later(HEAD_S, self._end_head)
        elif self._head_bytes:
            self._refuse(408, Refusal("head_incomplete", seconds=round(HEAD_S)))
        elif self._client is not None:
            self._client.transport.close()

    def _forget_deadline(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None

    def handle_websocket_upgrade(self) -> None:
        """Continue with HTTP/1.1 where another upgrade than a WebSocket is offered, as RFC 9110 (7.8) allows.

        Java's HttpClient offers HTTP/2 with its first request, and uvicorn would take that request's body for HTTP/2.
        """
        if self.offers_websocket():
            transport = self.transport = self._client.transport
            network = network_of(self._limits.clients.address(dict(self.scope)))
            super().handle_websocket_upgrade()
            if self._release is not None:
                # uvicorn hands the transport to another protocol, and only that one is notified of its end.
                protocol = WebSocketLimits(transport.get_protocol(), transport, self._limits, network, self._release)
                transport.set_protocol(protocol)  # type: ignore[arg-type]  # has a protocol's interface
            return
        upgrade = sys.exception()
        assert isinstance(upgrade, httptools.HttpParserUpgrade)  # noqa: S101  uvicorn calls this where it has caught one
        rest = self._data[upgrade.args[0] :]
        lines = [self.request_line]
        for name, value in self.headers:
            if name == b"connection" and b"close" in value.lower():
                lines.append(b"connection: close")
            elif name not in _UPGRADE_HEADERS:
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
        """Read a header: the request line has ended, also of a pipelined request."""
        self._may_be_request_line = False
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End a head; a head that is too long is refused before the app is called."""
        self._is_amid_head = False
        self._forget_deadline()
        if self._head_bytes + len(self._data) > MAX_HEAD_BYTES and self.head_length > MAX_HEAD_BYTES:
            self._refusal = Refusal("head_too_large", limit=MAX_HEAD_BYTES)
            raise ValueError(self._refusal.reason)  # stops the parser
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request: the next line is a request line."""
        super().on_message_complete()
        self.mark_scope(BODY_COMPLETE)
        self._may_be_request_line = True
        self._is_amid_request = False

    def shutdown(self) -> None:
        """Close after the answer of a pending request; at once without one."""
        if self.is_answering:
            super().shutdown()
        elif self._is_amid_request:  # its head is incomplete, or has not begun
            self.loop.call_later(FIRST_BYTE_S, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer malformed HTTP in the public form, and close."""
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
