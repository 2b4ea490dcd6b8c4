"""The incoming half of an SMTP connection: command lines and mail bodies, both bounded."""

import asyncio

CHUNK_BYTES = 256 * 1024

END = b"\r\n.\r\n"


class TooLong(Exception):  # noqa: N818  the peer's fault, answered and survived
    """A line or a body was over its limit; it was read to its end and dropped."""


class Ended(Exception):  # noqa: N818
    """The peer closed the connection."""


class Input:
    """Reads from one connection; what came early (PIPELINING, RFC 2920) waits in the buffer."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come early."""
        return not self._buffer

    async def line(self, limit: int) -> bytes:
        """Return the next line without its end. Raises TooLong, Ended."""
        searched, dropped = 0, False
        while (end := self._buffer.find(b"\n", searched)) < 0:
            if len(self._buffer) > limit:
                self._buffer.clear()
                dropped = True
            searched = len(self._buffer)
            await self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        if dropped or end > limit:
            raise TooLong
        return line.removesuffix(b"\r")

    async def body(self, limit: int) -> bytes:
        """Return what stands before the final dot, its doubled dots undone (RFC 5321, section 4.5.2).

        Raises TooLong after the dot was read, Ended.
        """
        self._buffer[:0] = b"\r\n"
        searched, dropped = 0, False
        while (end := self._buffer.find(END, searched)) < 0:
            if len(self._buffer) > limit + len(END):
                del self._buffer[: 1 - len(END)]
                dropped = True
            searched = max(0, len(self._buffer) - len(END) + 1)
            await self._more()
        body = bytes(self._buffer[2 : end + 2])
        del self._buffer[: end + len(END)]
        if dropped or len(body) > limit:
            raise TooLong
        return (b"\r\n" + body).replace(b"\r\n.", b"\r\n")[2:]

    async def _more(self) -> None:
        chunk = await self._reader.read(CHUNK_BYTES)
        if not chunk:
            raise Ended
        self._buffer += chunk
