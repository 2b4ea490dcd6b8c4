"""An SMTP server on a real socket that misbehaves where its test says so, and keeps what it received.

aiosmtpd speaks the protocol. This module replaces its replies with those of a test.
"""

import asyncio
import base64
import contextlib
import hmac
import socket
import ssl
import struct
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import count, repeat
from typing import Any, Self

from aiosmtpd.smtp import MISSING, SMTP, AuthResult, Envelope, LoginPassword, Session, TLSSetupException

from imsg_testing.tcp_server import LINE_OCTETS

EXTENSIONS = ("SIZE 36700160", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")

WITHIN_S = 60.0
"""How long a test waits for the server to see or do something."""

TIMEOUT_S = 3_600.0
"""The server closes no connection by itself: no test takes as long."""

CHALLENGE = b"<1.2@mail.example.com>"
"""What CRAM-MD5 hashes."""

DSN_PARAMETERS = ("RET=", "ENVID=", "NOTIFY=", "ORCPT=")
"""RFC 3461. aiosmtpd refuses them."""


class Act(Enum):
    """What the server does in place of a reply."""

    HANG = "hang"
    DROP = "drop"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Raw:
    """Octets that are sent as they are."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """A reply that is sent once the test calls `release`."""

    reply: str


@dataclass(frozen=True, slots=True)
class Late:
    """A reply that is sent after a while."""

    reply: str
    after_s: float


ScriptedReply = str | Raw | Act | Held | Late
"""A reply as text (`550 5.1.1 no`, without its line end), or what is done in place of one."""

DEFAULTS: Mapping[str, str] = {
    "GREETING": "220 mail.example.com ESMTP",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 End data with <CR><LF>.<CR><LF>",
    "DOT": "250 2.0.0 Ok: queued as {queue_id}",
}
"""The usual replies; to other commands aiosmtpd replies. GREETING and DOT (the end of a mail) are scripted as commands
are, and so is BODY: what is sent or done before a mail is read, usually nothing."""


@dataclass(frozen=True, slots=True)
class Received:
    """An accepted mail."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    """As received, without the dots that SMTP adds."""
    options: str
    """The parameters of MAIL."""
    recipient_options: str
    """The parameters of RCPT."""
    client: str
    """The name in EHLO or HELO."""
    session: int
    tls: bool
    user: str | None


class SmtpServer:
    """The running server: what it received, and what a test makes it do. It is the handler of aiosmtpd's sessions."""

    def __init__(
        self,
        replies: Mapping[str, ScriptedReply | Sequence[ScriptedReply]],
        extensions: Sequence[str],
        users: Mapping[str, str],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.mails: list[Received] = []
        self.commands: list[str] = []
        """The commands of all sessions in order, and GREETING, BODY and DOT."""
        self.sessions = 0
        """How many connections were ever made."""
        self.extensions = extensions
        self.users = users
        self.tls = tls
        self.find_user: Callable[[str], str | None] | None = None
        """Returns whose mailbox a token opens; the server then takes XOAUTH2 alone."""
        self.concurrent_requests = 0
        """Mails whose DATA was accepted and that have no reply yet."""
        self.released = asyncio.Event()
        self.open: set[Connection] = set()
        self.poison: dict[str, Mapping[str, ScriptedReply]] = {}
        """Address → the replies to its RCPT, and to the DATA and DOT of a mail to it."""
        self._queue_ids = (f"Q{number:06}" for number in count(1))
        self._replies = {
            command: repeat(reply) if isinstance(reply, ScriptedReply) else iter(reply)
            for command, reply in replies.items()
        }

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        """Listen on a free port for as long as the context lasts, with `tls` speaking TLS from the first byte."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: Connection(self), self.host, 0, ssl=tls)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            self.abort_connections()
            await self._wait_until_closed()

    def next_reply(self, command: str) -> ScriptedReply:
        """Return the next scripted reply to a command, or the usual one, or "" where there is none."""
        self.commands.append(command)
        return next(self._replies.get(command, iter(())), DEFAULTS.get(command, ""))

    def store(self, mail: Received) -> None:
        """Keep a mail."""
        self.mails.append(mail)

    def release(self) -> None:
        """Send every held reply, now and from now on."""
        self.released.set()

    async def wait_seen(self, command: str, times: int = 1) -> None:
        """Wait until a command, or GREETING, BODY or DOT, has come so often."""
        await _until(lambda: self.commands.count(command) >= times, f"{times} x {command}")

    async def close_connections(self, line: str = "421 4.4.2 mail.example.com Error: timeout exceeded") -> None:
        """Send a last line on every open connection and close it, as a server that shuts down does."""
        for connection in list(self.open):
            connection.transport.write(f"{line}\r\n".encode())
            connection.transport.close()
        await self._wait_until_closed()

    def abort_connections(self) -> None:
        """Cut every open connection."""
        for connection in list(self.open):
            connection.transport.abort()

    async def _wait_until_closed(self) -> None:
        await _until(lambda: not self.open, "the connections closed")

    def next_reply_for(self, command: str, recipients: Iterable[str]) -> ScriptedReply:
        """Return the next reply to a command that concerns recipients."""
        usual = self.next_reply(command)
        replies = (self.poison.get(recipient, {}).get(command) for recipient in recipients)
        return next((reply for reply in replies if reply is not None), usual)

    # What aiosmtpd calls. It hands the reply that a handler returns to `Connection.push`; MISSING stands for its own.

    def check_password(self, _: SMTP, __: Session, ___: Envelope, ____: str, data: LoginPassword) -> AuthResult:
        """Let a user in who gives the password."""
        name, password = data.login.decode(), data.password.decode()
        return AuthResult(success=self.users.get(name) == password, handled=False, auth_data=name)

    async def handle_EHLO(  # noqa: N802  aiosmtpd's name
        self, _: "Connection", session: Session, __: Envelope, hostname: str, replies: list[str]
    ) -> list[ScriptedReply]:
        """Offer the test's extensions; of aiosmtpd's only STARTTLS, and AUTH where users have to log in."""
        session.host_name = hostname
        if reply := self.next_reply("EHLO"):
            return [reply]
        own = (
            ("STARTTLS", "AUTH")
            if (self.users or self.find_user) and "AUTH" not in " ".join(self.extensions)
            else "STARTTLS"
        )
        first, *others = (reply[4:] for reply in replies)
        lines = [first, *self.extensions, *(line for line in others if line.startswith(own))]
        return [*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]

    async def handle_HELO(self, _: "Connection", session: Session, __: Envelope, hostname: str) -> Any:  # noqa: ANN401, N802
        """Reply as the test says, or as aiosmtpd does."""
        session.host_name = hostname
        return self.next_reply("HELO") or MISSING

    async def handle_AUTH(  # noqa: N802
        self, _: "Connection", __: Session, ___: Envelope, ____: list[str]
    ) -> Any:  # noqa: ANN401
        """Reply as the test says, or let aiosmtpd check the password."""
        return self.next_reply("AUTH") or MISSING

    async def handle_MAIL(  # noqa: N802
        self, _: "Connection", session: Session, envelope: Envelope, address: str, __: list[str]
    ) -> ScriptedReply:
        """Begin a mail."""
        reply = self.next_reply("MAIL")
        if (self.users or self.find_user) and not session.authenticated:
            return "530 5.7.0 Authentication required"
        if _has_code(reply, "250"):
            envelope.mail_from = address
        return reply

    async def handle_RCPT(  # noqa: N802
        self, _: "Connection", __: Session, envelope: Envelope, address: str, ___: list[str]
    ) -> ScriptedReply:
        """Accept a recipient."""
        reply = self.next_reply_for("RCPT", [address])
        if _has_code(reply, "250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(  # noqa: N802
        self, connection: "Connection", session: Session, envelope: Envelope
    ) -> ScriptedReply:
        """Accept a mail that has ended. Without a reply it is accepted too: that is the worst case for the client."""
        reply = self.next_reply_for("DOT", envelope.rcpt_tos)
        connection.queue_id = next(self._queue_ids)
        if _has_code(reply, "250") or isinstance(reply, Act):
            self.store(
                Received(
                    envelope.mail_from or "",
                    tuple(envelope.rcpt_tos),
                    envelope.original_content or b"",
                    " ".join(envelope.mail_options),
                    " ".join(envelope.rcpt_options),
                    session.host_name or "",
                    connection.number,
                    connection.transport.get_extra_info("sslcontext") is not None,
                    session.auth_data,
                )
            )
        return reply

    async def handle_RSET(self, *_: object) -> Any:  # noqa: ANN401, N802
        """Reply as the test says, or as aiosmtpd does."""
        return self.next_reply("RSET") or MISSING

    async def handle_NOOP(self, *_: object) -> Any:  # noqa: ANN401, N802
        """Reply as the test says, or as aiosmtpd does."""
        return self.next_reply("NOOP") or MISSING

    async def handle_QUIT(self, *_: object) -> Any:  # noqa: ANN401, N802
        """Reply as the test says, or as aiosmtpd does."""
        return self.next_reply("QUIT") or MISSING


class Connection(SMTP):
    """One connection."""

    line_length_limit = LINE_OCTETS
    transport: asyncio.Transport

    def __init__(self, server: SmtpServer) -> None:
        super().__init__(
            server,
            data_size_limit=None,
            enable_SMTPUTF8=True,
            hostname="mail.example.com",
            tls_context=server.tls,
            timeout=TIMEOUT_S,
            auth_require_tls=server.tls is not None,
            authenticator=server.check_password,
            auth_exclude_mechanism=["XOAUTH2"] if server.find_user is None else ["PLAIN", "LOGIN", "CRAM-MD5"],
            loop=asyncio.get_running_loop(),
        )
        self.command_size_limits = defaultdict(lambda: LINE_OCTETS)  # parameters of DSN pass aiosmtpd's 512
        server.sessions += 1
        self.number = server.sessions
        self.queue_id = ""
        self._server = server
        self._replacements: list[ScriptedReply | bytes] = [server.next_reply("GREETING")]
        """What is sent in place of the next reply of aiosmtpd."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; called again when TLS begins."""
        super().connection_made(transport)
        self._server.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self._server.open.discard(self)
        super().connection_lost(error)

    async def push(self, status: ScriptedReply | bytes) -> None:
        """Send a reply of aiosmtpd or of the test, or do what the test wants in place of it."""
        replies, self._replacements = self._replacements or [status], []
        for reply in replies:
            await self._play(reply)

    async def _play(self, reply: ScriptedReply | bytes) -> None:
        match reply:
            case str():
                await super().push(reply.replace("{queue_id}", self.queue_id))
                if reply.startswith("421"):
                    self.transport.close()
            case bytes():
                await super().push(reply)
            case Raw(octets):
                self.transport.write(octets)
            case Held(text):
                await self._server.released.wait()
                await self._play(text)
            case Late(text, after_s):
                await asyncio.sleep(after_s)
                await self._play(text)
            case Act.DROP:
                self.transport.close()
            case Act.RESET:
                sock: socket.socket = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
        if reply is Act.HANG or self.transport.is_closing():
            await self.loop.create_future()  # cancelled when the connection ends

    async def smtp_STARTTLS(self, arg: str) -> None:  # noqa: N802  aiosmtpd's name
        """Reply as the test says, or begin TLS."""
        if reply := self._server.next_reply("STARTTLS"):
            await self.push(reply)
        else:
            await super().smtp_STARTTLS(arg)
            if self.session is None or self.session.ssl is None:
                raise TLSSetupException  # the connection ended meanwhile, which asyncio reports as success

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        """Begin a mail; aiosmtpd does not see the parameters that it would refuse."""
        assert self.envelope is not None
        await super().smtp_MAIL(_keep_parameters(arg, self.envelope.mail_options))

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        """Add a recipient; aiosmtpd does not see the parameters that it would refuse."""
        assert self.envelope is not None
        await super().smtp_RCPT(_keep_parameters(arg, self.envelope.rcpt_options))

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        """Reply as the test says, and read a mail if that is 354."""
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await super().smtp_DATA(arg)
            return
        reply = self._server.next_reply_for("DATA", self.envelope.rcpt_tos)
        if not _has_code(reply, "354"):
            await self.push(reply)
            return
        body = self._server.next_reply("BODY")
        self._replacements = [reply, body] if body else [reply]
        self._server.concurrent_requests += 1
        try:
            await super().smtp_DATA(arg)
        finally:
            self._server.concurrent_requests -= 1

    async def auth_CRAM__MD5(self, _: SMTP, __: list[str]) -> AuthResult:  # noqa: N802
        """Check the digest of a user's password (RFC 2195)."""
        response = await self.challenge_auth(CHALLENGE)
        if not isinstance(response, bytes):
            return AuthResult(success=False)  # aiosmtpd has replied
        name, digest = response.decode().rsplit(" ", 1)
        password = self._server.users.get(name, "").encode()
        is_right = hmac.new(password, CHALLENGE, "md5").hexdigest() == digest
        return AuthResult(success=is_right, handled=False, auth_data=name)

    async def auth_XOAUTH2(self, _: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        """Check a token; a wrong one is answered by a challenge that holds an error, as Google does."""
        response = base64.b64decode(args[1]).decode()
        user, bearer = response.removesuffix("\x01\x01").split("\x01")
        name = user.removeprefix("user=")
        assert self._server.find_user is not None
        if self._server.find_user(bearer.removeprefix("auth=Bearer ")) == name:
            return AuthResult(success=True, handled=False, auth_data=name)
        answer = await self.challenge_auth(b'{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}')
        assert answer == b"", answer
        return AuthResult(success=False, handled=False)


@contextlib.asynccontextmanager
async def smtp_server(
    replies: Mapping[str, ScriptedReply | Sequence[ScriptedReply]] | None = None,
    *,
    extensions: Sequence[str] = EXTENSIONS,
    users: Mapping[str, str] | None = None,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    find_user: Callable[[str], str | None] | None = None,
) -> AsyncIterator[SmtpServer]:
    """Run a server for as long as the context lasts.

    `replies` maps a command to one reply, or to a list of replies sent one after the other. `users` (name → password)
    have to log in, with `find_user` by a token; the server offers STARTTLS with `starttls`, and with `tls` speaks TLS
    from the first byte.
    """
    smtp = SmtpServer(replies or {}, extensions, users or {}, starttls)
    smtp.find_user = find_user
    async with smtp.running(tls) as server:
        yield server


def _keep_parameters(arg: str | None, kept: list[str]) -> str:
    """Add the parameters of a command to `kept`; return the command's argument without those of DSN."""
    path, *parameters = (arg or "").split()
    kept.extend(parameters)
    return " ".join([path, *(parameter for parameter in parameters if not parameter.startswith(DSN_PARAMETERS))])


def _has_code(reply: ScriptedReply, code: str) -> bool:
    match reply:
        case Held(text) | Late(text, _) | (str() as text):
            return text.startswith(code)
        case Raw(octets):
            return octets.startswith(code.encode())
    return False


async def _until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(WITHIN_S):
            while not holds():  # noqa: ASYNC110  a test waits for a condition, whoever brings it about
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN_S:.0f} s: {what}") from None
