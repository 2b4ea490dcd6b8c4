"""Encoding and decoding of frequent AMQP 0-9-1 frames (sections 2.3.5 and 4.2): publish, ack, deliver and confirm.

It costs a tenth of what pika's object for each frame costs (docs/performance.md). A test compares the bytes with those
of pika.
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
"""A whole frame: class basic, method ack, the tag, multiple."""

_ACK_BYTES = 13
_DELIVER, _ACKED = b"\0\x3c\0\x3c", b"\0\x3c\0\x50"
"""Class basic, methods deliver and ack."""

_WITH_HEADERS = 1 << 13 | 1
"""Flags of properties that are left to pika: headers, and a second word of flags."""

_PREFIX_BYTES = 7
_TAG = struct.Struct(">Q")

OVERHEAD_BYTES = 8
"""The bytes of a frame beside its payload, which frame_max includes."""


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
    """Decode the message at offset `at`; return it and the offset of the next frame, or `at` if it is incomplete.

    The message is None for other frames, which pika decodes. The offset is -1 where no frame begins: pika decodes all
    that follows.
    """
    end = _end_of(data, at)
    if end <= at or data[at] != _METHOD:
        return None, end
    method = data[at + _PREFIX_BYTES : at + _PREFIX_BYTES + 4]
    if method == _DELIVER:
        return _read_delivery(data, at, end)
    if method == _ACKED:
        tag = _TAG.unpack_from(data, at + _PREFIX_BYTES + 4)[0]
        return Confirmed(_FRAME.unpack_from(data, at)[1], tag, data[end - 2] & 1 == 1), end
    return None, end


def _end_of(data: bytes, at: int) -> int:
    """Return the end of the frame at `at`: `at` itself if it is incomplete, -1 if it is no frame."""
    if len(data) < at + _PREFIX_BYTES:
        return at
    kind, _, size = _FRAME.unpack_from(data, at)
    if kind not in (_METHOD, _HEADER, _BODY, _HEARTBEAT):
        return -1
    end: int = at + _PREFIX_BYTES + size + 1
    if len(data) < end:
        return at
    return end if data[end - 1 : end] == _END else -1


def _read_delivery(data: bytes, at: int, header_at: int) -> tuple[Delivered | None, int]:
    """Decode a delivery of one body frame, whose method frame is complete."""
    body_at = _end_of(data, header_at)
    if body_at == header_at:
        return None, at
    if body_at < 0 or data[header_at] != _HEADER:
        return None, header_at
    _, _, size, flags = _CONTENT.unpack_from(data, header_at + _PREFIX_BYTES)
    if flags & _WITH_HEADERS or not size:
        return None, header_at
    end = _end_of(data, body_at)
    if end == body_at:
        return None, at
    if end < 0 or data[body_at] != _BODY or end - body_at - OVERHEAD_BYTES != size:
        return None, header_at
    tag_at = at + _PREFIX_BYTES + 5 + data[at + _PREFIX_BYTES + 4]
    tag, redelivered = _TAG.unpack_from(data, tag_at)[0], data[tag_at + 8] & 1 == 1
    key_at = tag_at + 10 + data[tag_at + 9]
    key = data[key_at + 1 : key_at + 1 + data[key_at]].decode()
    channel = _FRAME.unpack_from(data, at)[1]
    return Delivered(channel, tag, redelivered, key, data[body_at + _PREFIX_BYTES : end - 1]), end


def _short(text: bytes) -> bytes:
    """Write a short string: its length in one byte, then its bytes. Raises ValueError over 255 bytes."""
    return bytes((len(text),)) + text
