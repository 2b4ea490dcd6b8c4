"""Publishes as they are written, held to pika's own encoder byte by byte."""

import pika  # type: ignore[import-untyped]
import pika.frame  # type: ignore[import-untyped]
import pika.spec  # type: ignore[import-untyped]
import pytest

from imsg_broker.rabbitmq import frames


def as_pika_writes(channel: int, exchange: str, key: str, body: bytes, message_id: str) -> bytes:
    """Have pika marshal the same publish."""
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
        (1, "imsg", "job.smtp.single", b"{}", "1"),
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
