"""An SMS provider that takes every call and answers it 50 ms later, as Aliyun would."""

import asyncio
import json
import sys
from itertools import count
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs

import httptools
import uvloop

from imsg_bench.counts import Counts

ANSWER_AFTER_S = 0.05

_numbers = count(1)


class Call(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, counts: Counts, answer_after_s: float) -> None:
        self._counts = counts
        self._answer_after_s = answer_after_s
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by name

    def data_received(self, data: bytes) -> None:
        """Parse received data."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Store the URL of a new request."""
        self._url, self._body = url, []

    def on_body(self, body: bytes) -> None:
        """Store a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer later: the call is on its way all that time."""
        query = self._url.partition(b"?")[2]
        people = recipients(query or b"".join(self._body))
        asyncio.get_running_loop().call_later(self._answer_after_s, self._answer, people)

    def _answer(self, people: int) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        answer = {"Code": "OK", "Message": "OK", "BizId": f"{next(_numbers)}^0", "RequestId": f"{next(_numbers)}"}
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)
        self._counts.add(people)


def recipients(form: bytes) -> int:
    """Count the numbers of a call."""
    fields = parse_qs(form.decode())
    return len(fields.get("PhoneNumbers", [""])[0].split(","))


async def serve(port: int, folder: Path, answer_after_s: float = ANSWER_AFTER_S) -> None:
    """Serve on a port of the loopback, for ever."""
    counts = Counts(folder / "texts")
    server = await asyncio.get_running_loop().create_server(
        lambda: Call(counts, answer_after_s), "127.0.0.1", port, backlog=256
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
