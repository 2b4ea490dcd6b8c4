"""What passes often, as AMQP 0-9-1 writes it (sections 2.3.5 and 4.2): publishes, acks, deliveries and confirms.

pika builds an object a frame and marshals or decodes each; written and read directly they cost a tenth of that
(ADR 13, 28). A test holds them to pika's own, byte by byte.
"""

import struct
from typing import NamedTuple

CONTENT_TYPE = b"application/json"

_METHOD, _HEADER, _BODY, _HEARTBEAT, _END = 1, 2, 3, 8, b"\xce"
_PUBLISH = struct.pack(">HHH", 60, 40, 0)
"""Class basic, method publish, and a reserved short."""

_MANDATORY = b"\x01"
_FRAME = struct.Struct(">BHI")
"""Type, channel, size of what follows up to the end mark."""

_FLAGS = 1 << 15 | 1 << 12 | 1 << 7
"""Which properties follow: content type, delivery mode, message id."""

_CONTENT = struct.Struct(">HHQH")
"""Class, weight, size of the body, flags."""

_DURABLE = b"\x02"

_ACK = struct.Struct(">BHIHHQ?c")
"""A whole frame: class basic, method ack, the tag, and whether all up to it are meant."""

_ACK_BYTES = 13
_DELIVER, _ACKED = b"\0\x3c\0\x3c", b"\0\x3c\0\x50"
"""Class basic, methods deliver and ack."""

_WITH_HEADERS = 1 << 13 | 1
"""Properties that nobody skips: headers, and more flags behind these."""

_PREFIX_BYTES = 7
_TAG = struct.Struct(">Q")

OVERHEAD_BYTES = 8
"""What a frame needs beside its payload: a body frame holds so much less than the connection's frame_max."""


def publish(channel: int, exchange: str, key: str, body: bytes, message_id: str) -> bytes:
    """Write a durable, mandatory publish without headers, whose body fits into one frame and is not empty."""
    method = b"".join((_PUBLISH, _short(exchange.encode()), _short(key.encode()), _MANDATORY))
    content = b"".join(
        (
            _CONTENT.pack(60, 0, len(body), _FLAGS),
            _short(CONTENT_TYPE),
            _DURABLE,
            _short(message_id.encode()),
        )
    )
    return b"".join(
        (
            *(_FRAME.pack(_METHOD, channel, len(method)), method, _END),
            *(_FRAME.pack(_HEADER, channel, len(content)), content, _END),
            *(_FRAME.pack(_BODY, channel, len(body)), body, _END),
        )
    )


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """Write an ack of one delivery, or of all up to it."""
    return _ACK.pack(_METHOD, channel, _ACK_BYTES, 60, 80, tag, multiple, _END)


class Delivered(NamedTuple):
    """A delivery without headers."""

    channel: int
    tag: int
    redelivered: bool
    key: str
    body: bytes


class Confirmed(NamedTuple):
    """The broker's ack of a publish, or of all up to it."""

    channel: int
    tag: int
    multiple: bool


def read(data: bytes, at: int) -> tuple[Delivered | Confirmed | None, int]:
    """Read what begins at a place, and tell where the next begins: at the same one where not all of it is there.

    None for a frame that is neither: it is for pika to read, and so are all that follow where the end is -1, since
    what stands there is no frame.
    """
    body_at = at + _PREFIX_BYTES
    if len(data) < body_at:
        return None, at
    kind, channel, size = _FRAME.unpack_from(data, at)
    end = body_at + size + 1
    if kind not in (_METHOD, _HEADER, _BODY, _HEARTBEAT):
        return None, -1
    if len(data) < end:
        return None, at
    if data[end - 1 : end] != _END:
        return None, -1
    if kind == _METHOD:
        method = data[body_at : body_at + 4]
        if method == _DELIVER:
            return _read_delivery(data, at, end)
        if method == _ACKED and size == _ACK_BYTES:
            tag, multiple = _TAG.unpack_from(data, body_at + 4)[0], data[end - 2] & 1 == 1
            return Confirmed(channel, tag, multiple), end
    return None, end


def _read_delivery(data: bytes, at: int, header_at: int) -> tuple[Delivered | None, int]:
    """Read a delivery of one body frame, of which the method's frame is there."""
    size_at = header_at + _PREFIX_BYTES
    if len(data) < size_at:
        return None, at
    kind, channel, size = _FRAME.unpack_from(data, header_at)
    if kind != _HEADER:
        return None, header_at
    body_frame_at = size_at + size + 1
    body_at = body_frame_at + _PREFIX_BYTES
    if len(data) < body_at:
        return (None, at) if len(data) < body_frame_at or _has_body(data, size_at) else (None, header_at)
    _, _, body_size, flags = _CONTENT.unpack_from(data, size_at)
    kind, _, size = _FRAME.unpack_from(data, body_frame_at)
    if flags & _WITH_HEADERS or not body_size or kind != _BODY or size != body_size:
        return None, header_at
    end = body_at + size + 1
    if len(data) < end:
        return None, at
    if data[end - 1 : end] != _END or data[body_frame_at - 1 : body_frame_at] != _END:
        return None, -1
    tag_at = at + _PREFIX_BYTES + 5 + data[at + _PREFIX_BYTES + 4]
    exchange_at = tag_at + 9
    key_at = exchange_at + 1 + data[exchange_at]
    key = data[key_at + 1 : key_at + 1 + data[key_at]].decode()
    tag = _TAG.unpack_from(data, tag_at)[0]
    return Delivered(channel, tag, data[tag_at + 8] & 1 == 1, key, data[body_at : end - 1]), end


def _has_body(data: bytes, size_at: int) -> bool:
    return bool(_CONTENT.unpack_from(data, size_at)[2])


def _short(text: bytes) -> bytes:
    """Write a short string: its length in one byte, then its bytes. Raises ValueError over 255 bytes."""
    return bytes((len(text),)) + text
