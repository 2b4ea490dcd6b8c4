"""The floor of sending mail: a bare consumer that takes from a queue and hands a prebuilt mail to a server.

pika on the event loop, 16 aiosmtplib connections that stay open, one ack a mail; no ledger, no outcome, no rendering.
Run: `python -m imsg_bench.floors.consumer AMQP_URL QUEUE SMTP_PORT [OCTETS]`, the last for a mail of that size.
"""

import asyncio
import sys
from typing import Any

import aiosmtplib
import pika  # type: ignore[import-untyped]
import uvloop
from pika.adapters.asyncio_connection import AsyncioConnection  # type: ignore[import-untyped]

CONNECTIONS = 16
PREFETCH = 8 * CONNECTIONS

HEAD = (
    "From: imsg@example.com\r\nTo: zhang@example.com\r\nSubject: =?utf-8?B?5oKo55qE6K6i5Y2V5bey5Y+R6LSn?=\r\n"
    "Message-ID: <00000000000000000000000000000000-0@example.com>\r\nDate: Wed, 25 Nov 2026 08:00:00 +0000\r\n"
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
)
LINE = "5oKo5aW977yM5oKo55qE6K6i5Y2VIDIwMjYxMTI1LTAwNDIg5bey57uP5Y+R6LSn77yM6aKE6K6h\r\n"


def mail(octets: int | None = None) -> bytes:
    """Return a mail of about `octets`, by default of four lines."""
    lines = 4 if octets is None else max(1, round((octets - len(HEAD)) / len(LINE)))
    return (HEAD + LINE * lines).encode()


async def _send(port: int, body: bytes, count_ready: "asyncio.Queue[tuple[Any, int]]") -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False, timeout=30)
    await client.connect()
    while True:
        channel, tag = await count_ready.get()
        await client.sendmail("imsg@example.com", ["zhang@example.com"], body)
        channel.basic_ack(tag)


async def consume(url: str, queue: str, port: int, octets: int | None = None) -> None:
    """Consume for ever."""
    count_ready: asyncio.Queue[tuple[Any, int]] = asyncio.Queue()
    body = mail(octets)

    def on_channel(channel: Any) -> None:  # noqa: ANN401  pika has no types
        def handle_delivery(_channel: object, method: Any, _properties: object, _body: bytes) -> None:  # noqa: ANN401
            count_ready.put_nowait((channel, method.delivery_tag))

        def ready(_frame: object) -> None:
            channel.basic_consume(queue, handle_delivery)

        channel.basic_qos(prefetch_count=PREFETCH, callback=ready)

    AsyncioConnection(
        pika.URLParameters(url),
        on_open_callback=lambda connection: connection.channel(on_open_callback=on_channel),
        custom_ioloop=asyncio.get_running_loop(),
    )
    await asyncio.gather(*(_send(port, body, count_ready) for _ in range(CONNECTIONS)))


if __name__ == "__main__":
    uvloop.run(consume(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if sys.argv[4:] else None))
