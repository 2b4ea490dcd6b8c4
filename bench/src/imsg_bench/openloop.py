"""Open-loop load: requests leave by a schedule, whatever became of those before, and each is timed from its schedule.

So a server that stalls is charged for every request that had to wait for it (no coordinated omission): also for those
that found no free connection and left late.
"""

import asyncio
import json
import selectors
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

ANSWER_TIMEOUT_S = 10.0
ACCEPTED = b'"errorCode":0'


def schedule(rate: float, seconds: float) -> list[float]:
    """List when requests leave, in seconds from the start: evenly, `rate` a second. Raises ValueError for no rate."""
    if rate <= 0 or seconds <= 0:
        raise ValueError("a schedule needs a rate and a length")
    return [number / rate for number in range(int(rate * seconds))]


def request(url: str, body: bytes) -> bytes:
    """Write a POST whole, once for all."""
    parts = urlsplit(url)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, load: "OpenLoop") -> None:
        self._load = load
        self._buffer = b""
        self._due = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by name

    def ask(self, request: bytes, due: float) -> None:
        """Send a request that was due at a time."""
        assert self._transport is not None  # noqa: S101  made before
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Parse an answer, which may come in pieces."""
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._buffer = b""
        self._load.record_answer(self, self._due, accepted=ACCEPTED in body)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report a connection that the server ended."""
        self._load.drop_connection(self, exc)


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


class OpenLoop:
    """One turn of load."""

    def __init__(self, url: str, body: bytes, due: Sequence[float], connections: int) -> None:
        self._url = url
        self._request = request(url, body)
        self._due = due
        self._connections = connections
        self._free: list[Client] = []
        self._late: deque[float] = deque()
        self._done = asyncio.Event()
        self._is_over = False
        self.latencies: list[float] = []
        self.refused = 0
        self.in_time = 0
        """Accepted before the last request was due."""
        self._last_due = 0.0

    async def run(self) -> None:
        """Send everything and wait for the answers. Raises TimeoutError where they don't come."""
        loop = asyncio.get_running_loop()
        parts = urlsplit(self._url)
        for _ in range(self._connections):
            _, client = await loop.create_connection(lambda: Client(self), parts.hostname or "", parts.port or 80)
            self._free.append(client)
        begin = loop.time() + 0.1
        self._last_due = begin + self._due[-1]
        for offset in self._due:
            due = begin + offset
            if (wait := due - loop.time()) > 0:
                await asyncio.sleep(wait)
            self._send(due)
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._done.wait()
        self._is_over = True

    def close(self) -> None:
        """End the connections, when all have been answered."""
        for client in self._free:
            client.close()

    def _send(self, due: float) -> None:
        if self._free:
            self._free.pop().ask(self._request, due)
        else:
            self._late.append(due)

    def record_answer(self, client: Client, due: float, *, accepted: bool) -> None:
        """Record an answer, and use its connection for the next request that waits."""
        now = asyncio.get_running_loop().time()
        self.latencies.append(now - due)
        self.refused += not accepted
        self.in_time += accepted and now <= self._last_due
        if self._late:
            client.ask(self._request, self._late.popleft())
        else:
            self._free.append(client)
        if len(self.latencies) == len(self._due):
            self._done.set()

    def drop_connection(self, client: Client, error: Exception | None) -> None:
        """Drop an idle connection that the server ended; fail where a request was open on it."""
        if client in self._free:
            self._free.remove(client)
        elif not self._is_over:
            raise ConnectionError(f"the server ended a connection: {error}")


def main(arguments: Sequence[str]) -> int:
    """Run as a process of its own: URL, file with the body, rate, seconds, connections; prints JSON."""
    url, body, rate, seconds, connections = arguments
    # epoll and uvloop know milliseconds only, and would send everything a little late; select knows microseconds.
    content = Path(body).read_bytes()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        load = OpenLoop(url, content, schedule(float(rate), float(seconds)), int(connections))
        exit_code = 0
        try:
            runner.run(load.run())
        except TimeoutError:
            print(f"not all were answered within {ANSWER_TIMEOUT_S:.0f} s", file=sys.stderr)
            exit_code = 1
    latencies = [round(latency * 1e3, 3) for latency in load.latencies]
    print(json.dumps({"refused": load.refused, "in_time": load.in_time, "latencies_ms": latencies}))
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
