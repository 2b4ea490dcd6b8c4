"""Limits of WebSocket connections: each counts until it ends, with the bytes of its unfinished message."""

import asyncio
from collections.abc import Callable
from typing import Any

from imsg_web.bodies import InboundLimits

TRY_AGAIN_LATER = b"\x88\x02\x03\xf5"
"""A close frame of a server with the code 1013 (RFC 6455, section 5.5.1)."""

_LONG, _VERY_LONG = 126, 127
"""Values of the length field after which the length follows in two bytes, or in eight."""

_CONTROL, _FIN = 0x08, 0x80


class MessageMeter:
    """Counts the bytes of an unfinished message by the lengths of its frames (RFC 6455, section 5.2)."""

    def __init__(self) -> None:
        self.octets = 0
        """Received bytes of the unfinished message, without the heads of frames."""
        self._head = b""
        self._left = 0
        """Bytes of the current frame that are not received yet."""
        self._is_control = False
        self._is_last = False

    def feed(self, data: bytes) -> None:
        """Count received data."""
        at = 0
        while at < len(data):
            if self._left == 0:
                at = self._read_head(data, at)
            piece = min(self._left, len(data) - at)
            at += piece
            self._left -= piece
            if not self._is_control:
                self.octets += piece
                if self._left == 0 and self._is_last and not self._head:
                    self.octets = 0

    def _read_head(self, data: bytes, at: int) -> int:
        """Parse a frame's head from `at`; return where its payload begins."""
        while at < len(data):
            wanted = _measure_head(self._head)
            if len(self._head) == wanted:
                break
            more = data[at : at + wanted - len(self._head)]
            self._head += more
            at += len(more)
        if len(self._head) == _measure_head(self._head):
            self._begin_frame()
        return at

    def _begin_frame(self) -> None:
        head, self._head = self._head, b""
        length = head[1] & 0x7F
        octets = {_LONG: head[2:4], _VERY_LONG: head[2:10]}.get(length)
        self._left = length if octets is None else int.from_bytes(octets, "big")
        self._is_control = bool(head[0] & _CONTROL)
        self._is_last = bool(head[0] & _FIN)


def _measure_head(head: bytes) -> int:
    """Return the length of a frame's head, by the part of it that was received."""
    if len(head) < 2:  # noqa: PLR2004  flags and length
        return 2
    mask = 4 if head[1] & 0x80 else 0
    return 2 + mask + {_LONG: 2, _VERY_LONG: 8}.get(head[1] & 0x7F, 0)


class WebSocketLimits:
    """A protocol around that of a WebSocket, with `InboundLimits`."""

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        transport: asyncio.Transport,
        inbound_limits: InboundLimits,
        network: str,
        on_end: Callable[[], None],
    ) -> None:
        self._protocol = protocol
        self._transport = transport
        self._limits = inbound_limits
        self._network = network
        self._on_end = on_end
        self._meter = MessageMeter()
        self._held = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever a transport wants of its protocol
        return getattr(self._protocol, name)

    def data_received(self, data: bytes) -> None:
        """Pass data on; close the connection if the unfinished message exceeds the limits."""
        if self._transport.is_closing():
            return
        self._meter.feed(data)
        if not self._count(self._meter.octets):
            self._transport.write(TRY_AGAIN_LATER)
            self._transport.close()
            return
        self._protocol.data_received(data)  # type: ignore[attr-defined]  # uvicorn's is a Protocol

    def connection_lost(self, exc: Exception | None) -> None:
        """End the connection."""
        self._count(0)
        self._on_end()
        self._protocol.connection_lost(exc)

    def _count(self, octets: int) -> bool:
        """Count so many bytes from now on; return False if they exceed the limits."""
        more, self._held = octets - self._held, octets
        if more <= 0:
            self._limits.release(self._network, -more)
            return True
        self._limits.held += more
        held = self._limits.held_by[self._network] = self._limits.held_by.get(self._network, 0) + more
        return held <= self._limits.share and self._limits.held <= self._limits.max_in_flight
