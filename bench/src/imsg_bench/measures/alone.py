"""One message on an idle system: from the first byte of its POST until the mail server has it.

Timed: by the client's clock (CLOCK_MONOTONIC, the mail server's too), one message after the other with a rest
between, floor and iMSG in turn, each over a connection that stays open. Gateway, sender and history run.
Floor: publish → consume → SMTP: a prebuilt Job is published to a durable quorum queue of its own by a process with an
open channel, C's bare consumer takes it and hands a prebuilt mail to the server over a connection that stays open. No
HTTP, no limits, no claims.
Beside it, reported: the same floor behind A's, a bare ASGI app that answers a POST when its publish is confirmed.
The percentiles are of all messages of all rounds.
"""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlsplit

import pika  # type: ignore[import-untyped]

from imsg_bench.counts import Counts
from imsg_bench.figures import percentile
from imsg_bench.filling import wait_until
from imsg_bench.job import prebuilt
from imsg_bench.measure import Run
from imsg_bench.measures.accept import start_floor
from imsg_bench.openloop import ACCEPTED, request
from imsg_bench.result import Result, Series

KEY = "L"
TITLE = "One message on an idle system"

QUEUE = "floor.mail"
WARM = 20
"""Messages before any is counted: they open connections."""

APART_S = 0.03
"""Between two messages: what the one before leaves to be recorded is done by then."""

PATIENCE_S = 30.0
SHARES = {"p50": (0.5, 1.6), "p99": (0.99, 2.0)}
FLOOR, WEB_FLOOR, OURS = "floor", "floor behind a bare ASGI app", "iMSG"


def measure(run: Run) -> Result:
    """Measure L."""
    times_ms: dict[str, list[float]] = {FLOOR: [], WEB_FLOOR: [], OURS: []}
    with run.deployment() as deployment:
        deployment.auth()
        deployment.history()
        deployment.catalog()
        gateway = deployment.gateway()
        port, counts = deployment.sink()
        sender = deployment.mail_sender(port)
        sender.start()
        connection = pika.BlockingConnection(pika.URLParameters(f"{deployment.share.plain_broker_url}?heartbeat=0"))
        with closing(connection):
            channel = connection.channel()
            channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            floor_url, _ = start_floor(deployment, exchange="", key=QUEUE)
            deployment.program("imsg_bench.floors.consumer", deployment.share.plain_broker_url, QUEUE, str(port))
            wait_until(lambda: channel.queue_declare(QUEUE, passive=True).method.consumer_count > 0, PATIENCE_S)
            body = deployment.body().read_bytes()
            job, lasting = prebuilt(), pika.BasicProperties(delivery_mode=2)
            sides: dict[str, Callable[[], None]] = {
                FLOOR: lambda: channel.basic_publish("", QUEUE, job, lasting),
                WEB_FLOOR: deployment.stack.enter_context(closing(Poster(floor_url, body))),
                OURS: deployment.stack.enter_context(closing(Poster(gateway.url, body))),
            }
            for _ in range(WARM):
                for send in sides.values():
                    _time(send, counts)
            for number in range(run.scale.rounds):
                for _ in range(run.scale.alone):
                    for name, send in sides.items():
                        times_ms[name].append(_time(send, counts))
                medians = {name: percentile(values[-run.scale.alone :], 0.5) for name, values in times_ms.items()}
                run.progress.round(KEY, number, run.scale.rounds, **medians)
    return result(times_ms)


def result(times_ms: dict[str, list[float]]) -> Result:
    """Make the figures of what was timed, in ms, by side."""
    at = {
        share: {name: percentile(values, place) for name, values in times_ms.items()}
        for share, (place, _) in SHARES.items()
    }
    series = [
        Series(f"{share}, iMSG ÷ floor", "", (at[share][OURS] / at[share][FLOOR],), at_most=goal)
        for share, (_, goal) in SHARES.items()
    ]
    series += [
        Series(f"{share}, iMSG ÷ {WEB_FLOOR}", "", (at[share][OURS] / at[share][WEB_FLOOR],)) for share in SHARES
    ]
    series += [Series(f"{share}, {name}", "ms", (value,)) for share in SHARES for name, value in at[share].items()]
    return Result(KEY, TITLE, tuple(series), notes=(f"{len(times_ms[OURS]):,} messages a side.",))


class Poster:
    """A client that keeps its connection and sends each request in one write."""

    def __init__(self, url: str, body: bytes) -> None:
        parts = urlsplit(url)
        self._request = request(f"{url}/api/send", body)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __call__(self) -> None:
        """Send; the answer is read whole, and a refusal is no measurement."""
        self._socket.sendall(self._request)
        answer = b""
        while not answer.endswith(b"}"):
            received = self._socket.recv(65_536)
            assert received, answer  # noqa: S101  it was closed
            answer += received
        assert ACCEPTED in answer, answer  # noqa: S101


def _time(send: Callable[[], None], counts: Counts) -> float:
    time.sleep(APART_S)
    before = counts.count
    begun = time.monotonic()
    send()
    wait_until(lambda: counts.count > before, PATIENCE_S, every_s=0.001)
    return (counts.read()[2] - begun) * 1e3
