"""The incoming half of an SMTP connection: command lines and mail bodies, both bounded."""

import asyncio
from dataclasses import dataclass, field

CHUNK_BYTES = 64 * 1024
"""Looked at in one turn of the loop: a mail of megabytes holds up nobody for longer than this much of it takes.

Every connection has its chunk in a turn, and a query of SQLite goes round the loop a dozen times.
"""

LINE_OCTETS = 998 + len(b"\r")
"""RFC 5322, section 2.1.1; Exim refuses longer lines."""

END = b"\r\n.\r\n"
LINE_END = b"\r\n"


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

    async def body(self, limit: int) -> "Body":
        """Return what stands before the final dot, its doubled dots undone (RFC 5321, section 4.5.2).

        Raises TooLong after the dot was read, Ended.
        """
        self._buffer[:0] = LINE_END
        body, searched, length = Body(), 0, 0
        while (end := self._buffer.find(END, searched)) < 0:
            length += self._move(body, _cut(self._buffer), is_wanted=length <= limit)
            searched = max(0, len(self._buffer) - len(END) + 1)
            await asyncio.sleep(0)  # what has come already is read without a turn of the loop
            await self._more()
        length += self._move(body, end + len(LINE_END), is_wanted=length <= limit) - len(LINE_END)
        del self._buffer[: len(END) - len(LINE_END)]
        if length > limit:
            raise TooLong
        return body

    def _move(self, body: "Body", end: int, *, is_wanted: bool) -> int:
        """Move what stands before `end` into the body, or drop it; return how much that was."""
        if is_wanted and end:
            body.add(bytes(self._buffer[:end]).replace(LINE_END + b".", LINE_END))
        del self._buffer[:end]
        return end

    async def _more(self) -> None:
        chunk = await self._reader.read(CHUNK_BYTES)
        if not chunk:
            raise Ended
        self._buffer += chunk


def _cut(buffer: bytearray) -> int:
    """Say how much can be looked at: up to the last line's end but one, so that what is left begins with a line's end.

    A line of which no end is in sight is cut anywhere but inside a line's end.
    """
    if len(buffer) < CHUNK_BYTES:
        return 0
    if (found := buffer.rfind(LINE_END, 0, 1 - len(END))) > 0:
        return found
    return len(buffer) - len(END)


@dataclass(slots=True)
class Body:
    """A mail as it comes in: kept, and looked at piece by piece while it comes."""

    has_long_line: bool = False
    """Whether a line has over LINE_OCTETS, its LF apart."""
    has_bare_line_feed: bool = False
    length: int = 0
    """Octets so far."""
    _pieces: list[bytes] = field(default_factory=list)
    _open_line: int = 0
    """Octets of the line that has not ended yet."""
    _last: bytes = b""

    def add(self, piece: bytes) -> None:
        """Take the next piece; the very first begins with the line's end that stood before the mail."""
        feeds = piece.count(b"\n")
        ends = piece.count(LINE_END) + (self._last == b"\r" and piece.startswith(b"\n"))
        self.has_bare_line_feed = self.has_bare_line_feed or feeds != ends
        self.has_long_line = self._measure(piece) or self.has_long_line
        self._last = piece[-1:]
        self._pieces.append(piece)
        self.length += len(piece)

    def _measure(self, piece: bytes) -> bool:
        """Tell whether a line is too long, and keep how long the last one is so far.

        It hops from one line's end to the last within a line's length: counting every line takes ten times as long.
        """
        begun, is_long = -self._open_line, False
        while len(piece) - begun > LINE_OCTETS:
            end = piece.rfind(b"\n", max(0, begun), max(0, begun + LINE_OCTETS + 1))
            if end < 0:
                is_long = True
                end = piece.find(b"\n", max(0, begun))
            if end < 0:
                break
            begun = end + 1
        last = piece.rfind(b"\n")
        self._open_line = len(piece) - (last + 1) if last >= 0 else len(piece) + self._open_line
        return is_long

    def join(self) -> bytes:
        """Return the whole mail. It lets other threads run meanwhile: a large one is for a thread."""
        return b"".join((self._pieces[0].removeprefix(LINE_END), *self._pieces[1:])) if self._pieces else b""
