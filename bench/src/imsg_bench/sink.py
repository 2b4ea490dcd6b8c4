"""A mail server that takes everything and keeps nothing, cheap enough not to be what is measured."""

import asyncio
import sys
from pathlib import Path
from time import monotonic
from typing import cast

import uvloop

from imsg_bench.counts import Counts

GREETING = b"220 sink.example.com ESMTP\r\n"
HELLO = b"250-sink.example.com\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-PIPELINING\r\n250 SIZE 33554432\r\n"
OK = b"250 2.0.0 Ok\r\n"
GO_ON = b"354 End data with <CR><LF>.<CR><LF>\r\n"
BYE = b"221 2.0.0 Bye\r\n"
END = b"\r\n.\r\n"

PROBE = b"<probe-"
"""How the address of a message begins whose arrival is noted by itself."""


class Session(asyncio.Protocol):
    """One client."""

    def __init__(self, counts: Counts, probes: Path) -> None:
        self._counts = counts
        self._probes = probes
        self._seen: list[bytes] = []
        self._buffer = b""
        self._in_data = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is none by name
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        """Parse commands, several at a time where a client pipelines, and mails."""
        assert self._transport is not None  # noqa: S101  made before
        self._buffer += data
        answers = []
        while True:
            if self._in_data:
                body, end, rest = self._buffer.partition(END)
                if not end:
                    self._buffer = body[-len(END) :]  # a mark may be cut in two
                    break
                self._buffer, self._in_data = rest, False
                answers.append(OK)
                self._record_arrival()
                continue
            line, newline, rest = self._buffer.partition(b"\r\n")
            if not newline:
                break
            self._buffer = rest
            answers.append(self._answer(line))
        if answers:
            self._transport.write(b"".join(answers))

    def _answer(self, line: bytes) -> bytes:
        match line[:4].upper():
            case b"EHLO" | b"HELO":
                return HELLO
            case b"RCPT":
                if PROBE in line:
                    self._seen.append(line[line.index(b"<") + 1 : line.index(b">")])
                return OK
            case b"DATA":
                self._in_data = True
                return GO_ON
            case b"QUIT":
                return BYE
        return OK

    def _record_arrival(self) -> None:
        self._counts.add()
        if self._seen:
            with self._probes.open("a") as file:
                file.writelines(f"{address.decode()} {monotonic()}\n" for address in self._seen)
            self._seen.clear()


async def serve(port: int, folder: Path) -> None:
    """Serve on a port of the loopback, for ever."""
    counts = Counts(folder / "mails")
    server = await asyncio.get_running_loop().create_server(
        lambda: Session(counts, folder / "probes"), "127.0.0.1", port, backlog=256
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
