"""Publishes as they are written, held to pika's own encoder byte by byte."""

import pika  # type: ignore[import-untyped]
import pika.frame  # type: ignore[import-untyped]
import pika.spec  # type: ignore[import-untyped]
import pytest

from imsg_broker.rabbitmq import frames


def as_pika_writes(channel: int, exchange: str, key: str, body: bytes, message_id: str) -> bytes:
    """Return the bytes of the same publish as pika marshals it."""
    properties = pika.BasicProperties(
        content_type="application/json", delivery_mode=2, message_id=message_id, headers=None
    )
    method = pika.spec.Basic.Publish(exchange=exchange, routing_key=key, mandatory=True)
    parts = (
        pika.frame.Method(channel, method),
        pika.frame.Header(channel, len(body), properties),
        pika.frame.Body(channel, body),
    )
    return b"".join(part.marshal() for part in parts)


@pytest.mark.parametrize(
    ("channel", "exchange", "key", "body", "message_id"),
    [
        (1, "imsg", "job.smtp.normal", b"{}", "1"),
        (65_535, "", "imsg.smtp.bulk.retry.10800", b"x" * 131_000, "184467440737"),
        (2, "名", "键", "您好".encode(), ""),
        (3, "e" * 255, "k" * 255, b"\xce\x00\xff", "9" * 255),
    ],
)
def test_a_publish_is_what_pika_would_write(
    channel: int, exchange: str, key: str, body: bytes, message_id: str
) -> None:
    written = frames.publish(channel, exchange, key, body, message_id)
    assert written == as_pika_writes(channel, exchange, key, body, message_id)


def test_a_key_of_over_255_bytes_is_refused() -> None:
    """AMQP's short strings end there."""
    with pytest.raises(ValueError, match="range"):
        frames.publish(1, "imsg", "k" * 256, b"{}", "1")


def as_pika_delivers(
    channel: int,
    tag: int,
    key: str,
    body: bytes,
    *,
    redelivered: bool = False,
    headers: dict[str, object] | None = None,
) -> list[bytes]:
    """Return a delivery as the broker writes it, frame by frame, marshalled by pika."""
    method = pika.spec.Basic.Deliver(
        consumer_tag="ctag1.0", delivery_tag=tag, redelivered=redelivered, exchange="imsg", routing_key=key
    )
    properties = pika.BasicProperties(
        content_type="application/json", delivery_mode=2, message_id="7", headers=headers, timestamp=5
    )
    parts = [pika.frame.Method(channel, method), pika.frame.Header(channel, len(body), properties)]
    parts += [pika.frame.Body(channel, body[at : at + 131_064]) for at in range(0, len(body), 131_064)]
    return [part.marshal() for part in parts]


@pytest.mark.parametrize(
    ("channel", "tag", "key", "body", "redelivered"),
    [
        (1, 1, "job.smtp.single", b"{}", False),
        (65_535, 2**63, "键" * 85, "您好".encode(), True),
        (3, 7, "", b"\xce" * 131_064, False),
    ],
)
def test_a_delivery_is_read_as_pika_writes_it(
    channel: int, tag: int, key: str, body: bytes, *, redelivered: bool
) -> None:
    written = b"".join(as_pika_delivers(channel, tag, key, body, redelivered=redelivered))
    found = frames.Delivered(channel, tag, redelivered, key, body)
    assert frames.read(written + b"more", 0) == (found, len(written))
    assert frames.read(b"before" + written, 6) == (found, 6 + len(written))


def test_what_has_not_come_whole_is_waited_for() -> None:
    """Wherever the kernel cuts it."""
    written = b"".join(as_pika_delivers(1, 1, "outcome", b'{"v":1}'))
    for end in range(len(written)):
        assert frames.read(written[:end], 0) == (None, 0), f"cut at {end}"


@pytest.mark.parametrize(
    "parts",
    [
        as_pika_delivers(1, 1, "dead", b"{}", headers={"reason": "unreadable"}),
        as_pika_delivers(1, 1, "outcome", b""),
        as_pika_delivers(1, 1, "job.smtp.bulk", b"x" * 200_000),
        [pika.frame.Heartbeat().marshal()],
        [pika.frame.Method(1, pika.spec.Basic.Nack(delivery_tag=3, multiple=True)).marshal()],
        [pika.frame.Method(0, pika.spec.Connection.Blocked("memory")).marshal()],
    ],
    ids=["headers", "empty", "of two frames", "heartbeat", "nack", "blocked"],
)
def test_all_else_is_pikas_frame_by_frame(parts: list[bytes]) -> None:
    written, at = b"".join(parts), 0
    for part in parts:
        assert frames.read(written, at) == (None, at + len(part))
        at += len(part)


@pytest.mark.parametrize("written", [b"AMQP\x00\x00\x09\x01", b"\x01\x00\x01\x00\x00\x00\x01xx"])
def test_what_is_no_frame_is_pikas_with_all_behind_it(written: bytes) -> None:
    assert frames.read(written + b"more", 0) == (None, -1)


@pytest.mark.parametrize(("tag", "multiple"), [(1, False), (2**63, True)])
def test_acks_are_written_and_read_as_pika_does(tag: int, *, multiple: bool) -> None:
    written = pika.frame.Method(9, pika.spec.Basic.Ack(delivery_tag=tag, multiple=multiple)).marshal()
    assert frames.ack(9, tag, multiple=multiple) == written
    assert frames.read(written, 0) == (frames.Confirmed(9, tag, multiple), len(written))
