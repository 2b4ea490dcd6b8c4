"""A client's receiver of callbacks that takes everything: `python -m imsg_bench.callback_sink PORT`."""

import asyncio
import re
import sys

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: (\d{1,9})\r\n", re.IGNORECASE)


class Receiver(asyncio.Protocol):
    """One connection that stays open: as many calls as come are answered."""

    def __init__(self) -> None:
        self._read = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101  TCP's
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer each call that is whole."""
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._read[: end + 2])
            request_end = end + 4 + (int(length[1]) if length else 0)
            if len(self._read) < request_end:
                return
            self._read = self._read[request_end:]
            if self._transport is not None:
                self._transport.write(ANSWER)


async def serve(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
