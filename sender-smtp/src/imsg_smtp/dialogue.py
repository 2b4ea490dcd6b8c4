"""Commands and replies on an open connection, with several commands in flight (PIPELINING, RFC 2920).

aiosmtplib reads one reply for each command and drops further ones; the replies to pipelined commands may come in one
packet or in many.
"""

import asyncio
from collections import deque
from typing import cast

from imsg_smtp.replies import Reply

MAX_REPLY_OCTETS = 32 * 1024
"""The size of one reply with all its lines, the library's limit too; RFC 5321 limits a line to 512 octets."""

MAX_UNREAD = 16
"""Replies that may wait to be read: more than the commands in flight."""


class NoReplyError(Exception):
    """No whole reply will come: the connection is closed, or its data is no reply."""


class MalformedReplyError(NoReplyError):
    """The data can't be parsed as a reply."""


class OutOfStepError(NoReplyError):
    """The server sent more replies than it got commands, so replies can't be matched to commands any more."""


class ReplyTimeoutError(NoReplyError):
    """The server did not answer, or did not read the data, in time."""


class Dialogue(asyncio.Protocol):
    """Parses replies (RFC 5321, section 4.2) and applies flow control to writes, on an open transport."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._octets = 0
        self._replies: deque[Reply] = deque()
        self._failure: NoReplyError | None = None
        self._has_reply = asyncio.Event()
        self._can_write = asyncio.Event()
        self._can_write.set()
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._failure is None and not self._transport.is_closing()

    @property
    def is_idle(self) -> bool:
        """Whether the connection is open and every reply was read: another command may follow."""
        return self.is_open and not self.has_unread

    @property
    def has_unread(self) -> bool:
        """Whether data was received and not read, a part of a line included."""
        return bool(self._replies or self._lines or self._buffer)

    def write(self, data: bytes) -> None:
        """Write octets. Raises NoReplyError where the connection is closed, OutOfStepError where a reply is unread."""
        if not self.is_open:
            raise self._failure or NoReplyError("the connection was closed")
        self.check_in_step()
        self._transport.write(data)

    def check_in_step(self) -> None:
        """Raise OutOfStepError where a reply is unread."""
        if self.has_unread:
            raise OutOfStepError("it answered more than once, so its answers can't be told apart any more")

    async def send_command(self, command: bytes, timeout_s: float) -> Reply:
        """Send a command and read its reply. Raises NoReplyError."""
        self.write(command)
        return await self.read(timeout_s)

    async def drain(self, timeout_s: float) -> None:
        """Wait until the server has read most of the written data, or has answered. Raises NoReplyError."""
        await self._wait(self._can_write, timeout_s, "it took nothing more")
        if self._failure is not None:
            raise self._failure

    async def read(self, timeout_s: float) -> Reply:
        """Read the next reply. Raises NoReplyError."""
        if not self._replies and self._failure is None:
            self._has_reply.clear()
            await self._wait(self._has_reply, timeout_s, "it did not answer")
        if self._replies:
            return self._replies.popleft()
        raise self._failure or NoReplyError("no reply")

    def data_received(self, data: bytes) -> None:
        """Gather lines into replies."""
        if self._failure is not None:
            return
        if self._buffer:
            data = bytes(self._buffer) + data
        *lines, rest = data.split(b"\n")
        self._buffer[:] = rest
        for line in lines:
            self._read_line(line)
        if self._octets + len(self._buffer) > MAX_REPLY_OCTETS or len(self._replies) > MAX_UNREAD:
            self._fail(MalformedReplyError("it answered more than a reply may hold"))

    def eof_received(self) -> bool:
        """Fail the wait for a reply; return False: the transport closes itself."""
        self._fail(NoReplyError("the connection was closed by the server"))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the pending read or drain."""
        failure = NoReplyError("the connection was lost")
        failure.__cause__ = exc
        self._fail(failure)

    def pause_writing(self) -> None:
        """Make `drain` wait."""
        self._can_write.clear()

    def resume_writing(self) -> None:
        """Allow `drain` to return."""
        self._can_write.set()

    async def _wait(self, event: asyncio.Event, timeout_s: float, what: str) -> None:
        """Wait for an event. A bare timer is cheaper than `asyncio.timeout`; each mail waits three times."""
        if event.is_set():
            return
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            is_late = True
            event.set()

        timer = asyncio.get_running_loop().call_later(timeout_s, give_up)
        try:
            await event.wait()
        finally:
            timer.cancel()
        if is_late:
            raise ReplyTimeoutError(f"{what} within {timeout_s:g} s")

    def _read_line(self, line: bytes) -> None:
        self._lines.append(line)
        self._octets += len(line)
        code = line[:3]
        if not (code.isdigit() and line[3:4] in (b"", b" ", b"-", b"\r")):
            shown = Reply.of(0, line[:80].decode("utf-8", "surrogateescape")).text
            self._fail(MalformedReplyError(f"it answered what is no reply: {shown}"))
        elif line[3:4] != b"-":
            text = b"\n".join(line[4:].strip(b" \t\r") for line in self._lines)
            self._lines, self._octets = [], 0
            self._replies.append(Reply.of(int(code), text.decode("utf-8", "surrogateescape")))
            self._has_reply.set()
            self._can_write.set()  # ends `drain`: after a reply the server may read no more

    def _fail(self, failure: NoReplyError) -> None:
        if self._failure is None:
            self._failure = failure
        self._has_reply.set()
        self._can_write.set()


def take_over(transport: asyncio.BaseTransport) -> Dialogue:
    """Return a dialogue on a connection that the library has opened."""
    return Dialogue(cast("asyncio.Transport", transport))
