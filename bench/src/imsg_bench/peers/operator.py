"""A mobile operator that takes every message and notes its number: over SMPP 3.4, or over HTTP as gateways call one.

Run: `python -m imsg_bench.peers.operator smpp|http PORT FOLDER`.
"""

import asyncio
import struct
import sys
from itertools import count
from pathlib import Path
from typing import cast
from urllib.parse import parse_qs, urlsplit

import httptools
import uvloop

from imsg_bench.counts import Counts

HEAD = struct.Struct(">IIII")
"""Length, command, status, sequence (SMPP 3.4, section 3.2)."""

RESPONSE = 0x80000000
BIND_RECEIVER, BIND_TRANSMITTER, SUBMIT, BIND_TRANSCEIVER = 0x1, 0x2, 0x4, 0x9


class DeliveryLog:
    """The recipients of the messages."""

    def __init__(self, folder: Path) -> None:
        self._counts = Counts(folder / "texts")
        self._file = (folder / "numbers").open("a", buffering=1)

    def record(self, number: str) -> None:
        """Record a message."""
        self._file.write(f"{number}\n")
        self._counts.add()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Smpp(asyncio.Protocol):
    """One session."""

    def __init__(self, book: DeliveryLog) -> None:
        self._book = book
        self._buffer = b""
        self._ids = count(1)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by name

    def data_received(self, data: bytes) -> None:
        """Answer every whole command."""
        assert self._transport is not None  # noqa: S101  made before
        self._buffer += data
        answers = []
        while len(self._buffer) >= HEAD.size and len(self._buffer) >= (length := HEAD.unpack_from(self._buffer)[0]):
            command, self._buffer = self._buffer[:length], self._buffer[length:]
            answers.append(self._answer(command))
        self._transport.write(b"".join(answers))

    def _answer(self, command: bytes) -> bytes:
        _, kind, _, sequence = HEAD.unpack_from(command)
        if kind & RESPONSE:
            return b""
        body = b""
        if kind in (BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER):
            body = b"operator\0"
        elif kind == SUBMIT:
            self._book.record(destination(command[HEAD.size :]))
            body = f"{next(self._ids)}\0".encode()
        return HEAD.pack(HEAD.size + len(body), kind | RESPONSE, 0, sequence) + body


def destination(body: bytes) -> str:
    """Return the destination of a submit_sm: after the service's type and the source, each with a zero at its end."""
    _, _, rest = body.partition(b"\0")
    _, _, rest = rest[2:].partition(b"\0")
    return rest[2:].partition(b"\0")[0].decode()


class Http(asyncio.Protocol):
    """One connection of a gateway that asks for `/?to=NUMBER&…`."""

    def __init__(self, book: DeliveryLog) -> None:
        self._book = book
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse received data."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Record the recipient."""
        self._book.record(parse_qs(urlsplit(url).query.decode())["to"][0].strip())

    def on_message_complete(self) -> None:
        """Answer that the message was accepted."""
        assert self._transport is not None  # noqa: S101  made before
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok")


async def serve(protocol: str, port: int, folder: Path) -> None:
    """Serve on a port of the loopback, for ever."""
    book = DeliveryLog(folder)
    make = {"smpp": Smpp, "http": Http}[protocol]
    server = await asyncio.get_running_loop().create_server(lambda: make(book), "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
