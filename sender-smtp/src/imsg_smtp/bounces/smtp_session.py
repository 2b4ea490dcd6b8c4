"""A session with a mail server that brings a bounce: aiosmtpd's commands, with bounds for whoever means no good.

aiosmtpd keeps a message as one object for each line, which for lines of two bytes is thirty times the message; so the
message is read here. It is closed after a time in whole, after some messages, and after some unknown recipients.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from imsg_runtime.logs import logger

log = logger(__name__)

DOT = b"\r\n.\r\n"
"""The end of a message (RFC 5321, 4.1.1.4)."""

_LOOSE_DOT = re.compile(rb"[\r\n]\.[\r\n]")
"""A dot alone on a line whose ends are not all CRLF: a server that takes it for the end would see a second message."""

KEPT_BYTES = 1024 * 1024
"""How much of a message is kept: what a report says stands at its beginning, and many may hand over at once."""

_YIELD_EVERY = 200
"""Pieces of a message after which others get their turn."""

ERRORS = 20
"""How many a connection is told of, those of ours too (Postfix's `smtpd_hard_error_limit`): the library counts none of
lines that are no command."""

COMMANDS = 2_000
"""How many of one kind a connection may send: 100 messages of some recipients each."""

RECIPIENTS = 100
"""How many a message may have (RFC 5321, 4.5.3.1.8 wants no fewer)."""

UNKNOWN_RECIPIENTS = 10
"""How many a connection may name that are not there: who tries more is guessing."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may do."""

    message_bytes: int
    messages: int
    command_s: float
    """For a command, or a whole message."""
    connection_s: float
    """For everything."""


class Reception:
    """Decides about senders, recipients and messages: aiosmtpd's handler. Replies are SMTP's own, as text."""

    def __init__(
        self,
        judge: Callable[[str], str],
        keep: Callable[[bytes, list[str]], Awaitable[str]],
        count: Callable[[str], None],
    ) -> None:
        """`judge` answers to a recipient, `keep` to a whole message."""
        self._judge = judge
        self._keep = keep
        self._count = count

    async def handle_EHLO(  # noqa: N802  aiosmtpd's name
        self, _: "BounceSession", session: Session, __: Envelope, hostname: str, replies: list[str]
    ) -> list[str]:
        """Offer no log-in and no help; commands may come in one go (RFC 2920), since they are read one by one."""
        session.host_name = hostname
        return [one for one in replies if not one[4:].startswith(("AUTH", "HELP"))] + ["250 PIPELINING"]

    async def handle_MAIL(  # noqa: N802
        self, server: "BounceSession", _: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Let a message begin, from nobody (`<>`) or anybody."""
        if server.messages >= server.limits.messages:
            return "421 4.7.0 that is enough for one connection"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: "BounceSession", _: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient that is one of ours."""
        if len(envelope.rcpt_tos) >= RECIPIENTS:
            return "452 4.5.3 too many recipients"
        reply = self._judge(address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
            return reply
        self._count("refused")
        server.unknown_recipients += 1
        if server.unknown_recipients >= UNKNOWN_RECIPIENTS:
            return "421 4.7.0 too many unknown recipients"
        return reply

    async def keep_message(self, envelope: Envelope, content: bytes) -> str:
        """Keep a whole message."""
        if _LOOSE_DOT.search(content):
            self._count("refused")
            return "554 5.6.0 a dot stands alone on a line that does not end with CRLF"
        unstuffed = content.replace(b"\r\n.", b"\r\n") if b"\r\n." in content else content
        return await self._keep(unstuffed[2:], envelope.rcpt_tos)

    def refuse_too_much(self) -> str:
        """Refuse what is too large (RFC 1870)."""
        self._count("refused")
        return "552 5.3.4 too large"

    async def handle_exception(self, error: Exception) -> str:
        """Say that it is ours to put right: what is refused for good would be lost."""
        log.error("bug", exc_info=error)
        self._count("later")
        return "451 4.3.0 not now"


class BounceSession(SMTP):
    """One connection."""

    line_length_limit = 4_096
    """How far ahead is read; commands are bounded by `command_size_limit`, lines of a message not at all."""

    local_part_limit = 64  # RFC 5321, 4.5.3.1.1

    def __init__(
        self,
        reception: Reception,
        hostname: str,
        limits: Limits,
        tls: SSLContext | None,
        on_end: Callable[["BounceSession"], None],
        *,
        client: str,
    ) -> None:
        """`client` is whose connection it is, as the listener counts them."""
        super().__init__(
            reception,
            data_size_limit=limits.message_bytes,
            hostname=hostname,
            ident="ESMTP",
            tls_context=tls,
            timeout=limits.command_s,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            command_call_limit=COMMANDS,
            loop=asyncio.get_running_loop(),
        )
        self.limits = limits
        self.client = client
        self.messages = 0
        self.unknown_recipients = 0
        self.errors = 0
        self.is_keeping = False
        """Whether a whole message is being kept: the connection is not to be closed before the answer."""
        self._reception = reception
        self._on_end = on_end
        self._ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; called once more where TLS begins."""
        if self._ends is None:
            self._ends = self.loop.call_later(self.limits.connection_s, self.leave)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        if self._ends is not None:
            self._ends.cancel()
        self._on_end(self)
        super().connection_lost(error)

    def leave(self) -> None:
        """Close the connection, whatever it is at."""
        if self.transport is not None:
            self.transport.close()

    async def push(self, status: Any) -> None:  # noqa: ANN401  text or bytes, as aiosmtpd has it
        """Answer; 421 is the last word (RFC 5321, 3.8).

        Then others have their turn: of what comes in one go the library reads the next command without waiting.
        """
        await super().push(status)
        self.errors += status[:1] in ("4", "5", b"4", b"5")
        is_last = status[:3] in ("421", b"421")
        if not is_last and self.errors >= ERRORS:
            is_last = True
            await super().push("421 4.7.0 too many errors")
        if is_last:
            self.leave()
        await asyncio.sleep(0)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802  aiosmtpd's name
        """Let nobody log in: there is nothing that a log-in would allow."""
        del arg
        await self.push("502 5.5.1 no log-in here")

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802
        """Tell nobody who is there."""
        del arg
        await self.push("502 5.5.1 not implemented")

    async def smtp_HELP(self, arg: str) -> None:  # noqa: N802
        """Say where to look."""
        del arg
        await self.push("214 2.0.0 RFC 5321")

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Read a message and have it kept."""
        envelope = self.envelope
        if envelope is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 RCPT first")
            return
        if arg:
            await self.push("501 5.5.4 DATA takes no argument")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        self.messages += 1
        content = await self._read_message()
        self.is_keeping = True
        try:
            if content is None:
                reply = self._reception.refuse_too_much()
            else:
                reply = await self._reception.keep_message(envelope, content)
        finally:
            self.is_keeping = False
        self.envelope = self._create_envelope()
        await self.push(reply)

    async def _read_message(self) -> bytes | None:
        """Return the message as it came, its first MiB, with a CRLF before it; None where it is too large."""
        kept, size, pieces = bytearray(), 0, 0
        end = b"\r\n"  # DATA's own, so that a dot right after it is the end too
        while end != DOT:
            try:
                piece = await self._reader.readuntil(DOT[2:])
            except asyncio.LimitOverrunError as error:
                piece = await self._reader.read(error.consumed)
            size += len(piece)
            end = (end + piece)[-len(DOT) :]
            kept += piece[: KEPT_BYTES - len(kept)]
            pieces += 1
            if pieces % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if size > self.limits.message_bytes + len(DOT):
            return None
        return b"\r\n" + kept[: size - len(DOT) + 2]
