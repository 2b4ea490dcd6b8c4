"""One SMTP session of the bounce listener: aiosmtpd's commands, with limits against abuse.

aiosmtpd keeps each line of a message as an object, which for lines of two bytes takes thirty times the message's size;
so this module reads the message itself. Limits on time, messages, errors and unknown recipients end a session.
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

END_OF_DATA = b"\r\n.\r\n"
"""The end of a message (RFC 5321, 4.1.1.4)."""

_BARE_DOT = re.compile(rb"[\r\n]\.[\r\n]")
"""A lone dot on a line not delimited by CRLF: a server that takes it for the end sees a second message (smuggling)."""

KEPT_BYTES = 1024 * 1024
"""How much of a message is kept in memory: the report is at its beginning."""

_YIELD_EVERY = 200
"""After so many pieces of a message the loop runs other tasks."""

MAX_ERRORS = 20
"""Replies 4xx and 5xx after which a connection is closed (Postfix: `smtpd_hard_error_limit`). The library does not
count unknown commands."""

MAX_COMMANDS = 2_000
"""Commands of one verb on a connection: enough for 100 messages of some recipients each."""

MAX_RECIPIENTS = 100
"""Recipients of one message (the minimum of RFC 5321, 4.5.3.1.8)."""

MAX_UNKNOWN_RECIPIENTS = 10
"""Unknown recipients after which a connection is closed: the client guesses addresses."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one connection."""

    message_bytes: int
    messages: int
    command_s: float
    """The longest duration of a command, or of a whole message."""
    connection_s: float
    """The longest duration of the connection."""


class BounceHandler:
    """aiosmtpd's handler: decides about senders, recipients and messages. Methods return SMTP replies as text."""

    def __init__(
        self,
        check_recipient: Callable[[str], str],
        ingest: Callable[[bytes, list[str]], Awaitable[str]],
        count: Callable[[str], None],
    ) -> None:
        """`check_recipient` returns the reply to an address, `ingest` to a message and its recipients."""
        self._check_recipient = check_recipient
        self._ingest = ingest
        self._count = count

    async def handle_EHLO(  # noqa: N802  aiosmtpd's name
        self, _: "BounceSession", session: Session, __: Envelope, hostname: str, replies: list[str]
    ) -> list[str]:
        """Offer neither AUTH nor HELP, and PIPELINING (RFC 2920): commands are read one by one."""
        session.host_name = hostname
        return [reply for reply in replies if not reply[4:].startswith(("AUTH", "HELP"))] + ["250 PIPELINING"]

    async def handle_MAIL(  # noqa: N802
        self, server: "BounceSession", _: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Begin a message, from the null sender (`<>`) or any other."""
        if server.messages >= server.limits.messages:
            return "421 4.7.0 too many messages on one connection"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: "BounceSession", _: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept a recipient that `check_recipient` accepts."""
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 too many recipients"
        reply = self._check_recipient(address)
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
            return reply
        self._count("refused")
        server.unknown_recipients += 1
        if server.unknown_recipients >= MAX_UNKNOWN_RECIPIENTS:
            return "421 4.7.0 too many unknown recipients"
        return reply

    async def ingest_message(self, envelope: Envelope, content: bytes) -> str:
        """Process a whole message, with dots still stuffed and a CRLF before it."""
        if _BARE_DOT.search(content):
            self._count("refused")
            return "554 5.6.0 a dot stands alone on a line that does not end with CRLF"
        unstuffed = content.replace(b"\r\n.", b"\r\n") if b"\r\n." in content else content
        return await self._ingest(unstuffed[2:], envelope.rcpt_tos)

    def refuse_size(self) -> str:
        """Refuse a message that is too large (RFC 1870)."""
        self._count("refused")
        return "552 5.3.4 too large"

    async def handle_exception(self, error: Exception) -> str:
        """Answer a bug with a temporary refusal: a permanent one would lose the bounce."""
        log.error("bug", exc_info=error)
        self._count("later")
        return "451 4.3.0 not now"


class BounceSession(SMTP):
    """One connection to the listener."""

    line_length_limit = 4_096
    """The size of the read buffer; commands are bounded by `command_size_limit`, lines of a message are not."""

    local_part_limit = 64  # RFC 5321, 4.5.3.1.1

    def __init__(
        self,
        handler: BounceHandler,
        hostname: str,
        limits: Limits,
        tls: SSLContext | None,
        on_close: Callable[["BounceSession"], None],
        *,
        client: str,
    ) -> None:
        """`client` is the listener's key of the client (`client_key`)."""
        super().__init__(
            handler,
            data_size_limit=limits.message_bytes,
            hostname=hostname,
            ident="ESMTP",
            tls_context=tls,
            timeout=limits.command_s,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            command_call_limit=MAX_COMMANDS,
            loop=asyncio.get_running_loop(),
        )
        self.limits = limits
        self.client = client
        self.messages = 0
        self.unknown_recipients = 0
        self.errors = 0
        self.is_ingesting = False
        """Whether a whole message is being processed: the connection must stay open until the reply."""
        self._handler = handler
        self._on_close = on_close
        self._close_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer of the connection; the library calls this again once TLS has started."""
        if self._close_timer is None:
            self._close_timer = self.loop.call_later(self.limits.connection_s, self.close)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Cancel the timer and report the end."""
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._on_close(self)
        super().connection_lost(error)

    def close(self) -> None:
        """Close the connection at once."""
        if self.transport is not None:
            self.transport.close()

    async def push(self, status: Any) -> None:  # noqa: ANN401  text or bytes, as aiosmtpd has it
        """Send a reply, and close the connection after 421 (RFC 5321, 3.8).

        Then let other tasks run: the library reads pipelined commands without waiting.
        """
        await super().push(status)
        self.errors += status[:1] in ("4", "5", b"4", b"5")
        is_last = status[:3] in ("421", b"421")
        if not is_last and self.errors >= MAX_ERRORS:
            is_last = True
            await super().push("421 4.7.0 too many errors")
        if is_last:
            self.close()
        await asyncio.sleep(0)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802  aiosmtpd's name
        """Refuse AUTH: the listener has no accounts."""
        del arg
        await self.push("502 5.5.1 no log-in here")

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802
        """Refuse VRFY: it would help to guess addresses."""
        del arg
        await self.push("502 5.5.1 not implemented")

    async def smtp_HELP(self, arg: str) -> None:  # noqa: N802
        """Reply with the standard's name."""
        del arg
        await self.push("214 2.0.0 RFC 5321")

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        """Read a message, process it and send the reply."""
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
        self.is_ingesting = True
        try:
            if content is None:
                reply = self._handler.refuse_size()
            else:
                reply = await self._handler.ingest_message(envelope, content)
        finally:
            self.is_ingesting = False
        self.envelope = self._create_envelope()
        await self.push(reply)

    async def _read_message(self) -> bytes | None:
        """Return the first MiB of the message with a CRLF before it; None where the message is too large."""
        kept, size, pieces = bytearray(), 0, 0
        end = b"\r\n"  # the end of DATA's line: a dot right after it ends the message
        while end != END_OF_DATA:
            try:
                piece = await self._reader.readuntil(END_OF_DATA[2:])
            except asyncio.LimitOverrunError as error:
                piece = await self._reader.read(error.consumed)
            size += len(piece)
            end = (end + piece)[-len(END_OF_DATA) :]
            kept += piece[: KEPT_BYTES - len(kept)]
            pieces += 1
            if pieces % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if size > self.limits.message_bytes + len(END_OF_DATA):
            return None
        return b"\r\n" + kept[: size - len(END_OF_DATA) + 2]
