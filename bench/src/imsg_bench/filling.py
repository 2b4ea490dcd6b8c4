"""Queues filled with Jobs, as a gateway fills them: through the exchange, durable, each under its own id."""

import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import pika  # type: ignore[import-untyped]

from imsg_bench.deployment import CONTENT
from imsg_channels import METHODS
from imsg_contract.topology import Lane, Topology, job_key
from imsg_contract.wire import Content, Job, Recipient


def new_id() -> str:
    """Make a UUIDv7 of now."""
    value = time.time_ns() // 1_000_000 << 80 | 0x7 << 76 | uuid.uuid4().int & (1 << 76) - 1
    value = value & ~(0b11 << 62) | 0b10 << 62
    return f"{value:032x}"


def job(to: Iterable[str], method: str = "smtp", content: Content | None = None) -> Job:
    """Make a Job as the gateway does."""
    recipients = tuple(Recipient(n=n, to=address, address=address) for n, address in enumerate(to))
    now = datetime.now(UTC)
    return Job(
        request=new_id(),
        username="admin",
        user_id="0" * 32,
        method=method,
        lane=Lane.NORMAL if len(recipients) == 1 else Lane.BULK,
        content=dict(CONTENT) if content is None else content,
        recipients=recipients,
        accepted_at=now,
        expires_at=now + timedelta(hours=24),
        segments=1 if method == "sms" else None,
    )


def fill(url: str, bodies: Iterable[tuple[str, bytes]]) -> int:
    """Publish (key, body) through the exchange; return how many there were. Closing waits until all are written."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
        count = 0
        for key, body in bodies:
            channel.basic_publish(Topology(methods=METHODS).exchange, key, body, properties)
            count += 1
        return count
    finally:
        connection.close()


def count_ready(url: str, *queues: str) -> int:
    """Count what is ready in queues, now."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        return sum(channel.queue_declare(queue, passive=True).method.message_count for queue in queues)
    finally:
        connection.close()


def key_of(made: Job) -> str:
    """Return the key of a Job."""
    return job_key(made.method, made.lane)


def wait_until(holds: Callable[[], bool], within_s: float, every_s: float = 0.1) -> None:
    """Wait until something holds. Raises TimeoutError."""
    end = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"it did not come true within {within_s:.0f} s")
        time.sleep(every_s)
