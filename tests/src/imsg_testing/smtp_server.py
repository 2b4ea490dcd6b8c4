"""An SMTP server on a real socket that behaves well, except where its test names how it misbehaves.

It is not on aiosmtpd, which the sandbox and the bounce listener use: that refuses the parameters of DSN (RFC 3461), has
no CRAM-MD5, and answers each command in a handler that every misbehaviour would have to override.
"""

import asyncio
import base64
import contextlib
import hmac
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Self

from imsg_testing.tcp_server import serve_tcp

EXTENSIONS = ("SIZE 36700160", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")

WITHIN_S = 60.0
"""How long a test waits for the server to see or do something."""


class Act(Enum):
    """What a server can do instead of answering."""

    HANG = "hang"
    DROP = "drop"
    RESET = "reset"


@dataclass(frozen=True, slots=True)
class Held:
    """A reply that is given only once the test calls `release`."""

    reply: str


@dataclass(frozen=True, slots=True)
class Late:
    """A reply that is given after a while."""

    reply: str
    after_s: float


Step = str | bytes | Act | Held | Late
"""A reply as text (`550 5.1.1 no`, line ends are added), as bytes (sent as they are), or what is done instead."""

DEFAULTS: Mapping[str, str] = {
    "GREETING": "220 mail.example.com ESMTP",
    "HELO": "250 mail.example.com",
    "STARTTLS": "220 2.0.0 go ahead",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 End data with <CR><LF>.<CR><LF>",
    "DOT": "250 2.0.0 Ok: queued as {queued}",
    "RSET": "250 2.0.0 Ok",
    "NOOP": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}
"""By command; GREETING, BODY (asked before the body is read) and DOT are no commands but moments."""


@dataclass(frozen=True, slots=True)
class Received:
    """A mail the server has said yes to."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    """As received, with dots undoubled."""
    options: str
    """What stood behind MAIL FROM."""
    session: int
    tls: bool
    user: str | None
    queued: str


@dataclass(slots=True)
class _Envelope:
    sender: str
    options: str
    recipients: list[str] = field(default_factory=list)


class SmtpServer:
    """The running server: what it has seen, and what a test can make it do."""

    def __init__(
        self,
        replies: Mapping[str, Step | Sequence[Step]],
        extensions: Sequence[str],
        users: Mapping[str, str],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.mails: list[Received] = []
        self.commands: list[str] = []
        """The verbs and moments of all sessions, in the order in which they came."""
        self.lines: list[str] = []
        """The command lines of all sessions."""
        self.sessions = 0
        """How many connections were ever made."""
        self.extensions = extensions
        self.users = users
        self.tls = tls
        self.under_way = 0
        """Mails that were announced and are not answered yet."""
        self.released = asyncio.Event()
        self.open: set[_Session] = set()
        self.poison: dict[str, Mapping[str, Step]] = {}
        """Address → what is done instead at its RCPT, and at the DATA and DOT of a mail to it."""
        self._numbers = count(1)
        self._steps = {
            command: (iter(steps) if not isinstance(steps, Step) else None, steps) for command, steps in replies.items()
        }

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        """Listen on a free port for as long as the context lasts, with `tls` speaking TLS from the first byte."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.sessions += 1
            session = _Session(self, reader, writer, self.sessions, secure=tls is not None)
            self.open.add(session)
            try:
                with contextlib.suppress(OSError):
                    await session.run()
            finally:
                self.open.discard(session)
                writer.transport.abort()

        async with serve_tcp(serve, tls) as self.port:
            yield self

    def step(self, command: str) -> Step:
        """Say what is done at a command: the next of its list, or its one step, or what is usual."""
        self.note(command)
        rest, steps = self._steps.get(command, (iter(()), ()))
        if rest is not None:
            return next(rest, DEFAULTS.get(command, ""))
        assert isinstance(steps, Step)
        return steps

    def note(self, command: str) -> None:
        """Remember a verb or a moment."""
        self.commands.append(command)

    def hear(self, line: str) -> None:
        """Remember a command line."""
        self.lines.append(line)

    def keep(self, mail: Received) -> None:
        """Take a mail."""
        self.mails.append(mail)

    def next_queued(self) -> str:
        """Name the next mail."""
        return f"Q{next(self._numbers):06}"

    def release(self) -> None:
        """Let every held reply go, now and from now on."""
        self.released.set()

    async def wait_seen(self, command: str, times: int = 1) -> None:
        """Wait until a command or moment has come so often."""
        await _until(lambda: self.commands.count(command) >= times, f"{times} x {command}")

    async def farewell(self, line: str = "421 4.4.2 mail.example.com Error: timeout exceeded") -> None:
        """Say a last line on every open connection and close it, as a server does that shuts down or tires of us."""
        for session in list(self.open):
            session.writer.write(f"{line}\r\n".encode())
            session.writer.close()
        await _until(lambda: not self.open, "the connections closed")


@contextlib.asynccontextmanager
async def smtp_server(
    replies: Mapping[str, Step | Sequence[Step]] | None = None,
    *,
    extensions: Sequence[str] = EXTENSIONS,
    users: Mapping[str, str] | None = None,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[SmtpServer]:
    """Run a server for as long as the context lasts.

    `replies` maps a command to a step, or to a list of steps taken one after the other. `users` (name → password)
    makes it want a log-in, `starttls` offer STARTTLS, `tls` speak TLS from the first byte.
    """
    offered = [*extensions, *(["STARTTLS"] if starttls else [])]
    async with SmtpServer(replies or {}, offered, users or {}, starttls).running(tls) as server:
        yield server


class _Session:
    """One connection."""

    def __init__(
        self,
        server: SmtpServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
        *,
        secure: bool,
    ) -> None:
        self.writer = writer
        self._server = server
        self._reader = reader
        self._number = number
        self._secure = secure
        self._user: str | None = None
        self._envelope: _Envelope | None = None

    async def run(self) -> None:
        if not await self._do("GREETING"):
            return
        while line := await self._reader.readline():
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            self._server.hear(text)
            verb, _, rest = text.partition(" ")
            command = verb.upper()
            handle: Callable[[str], Awaitable[bool]] | None = getattr(self, f"_{command.lower()}", None)
            goes_on = await (handle(rest) if handle is not None else self._other(command))
            if not goes_on or command == "QUIT":
                return

    @property
    def _recipients(self) -> Sequence[str]:
        return () if self._envelope is None else self._envelope.recipients

    def _step(self, command: str, *recipients: str) -> Step:
        """Say what is done at a command that concerns recipients."""
        usual = self._server.step(command)
        poisoned = (self._server.poison.get(recipient, {}).get(command) for recipient in recipients)
        return next((step for step in poisoned if step is not None), usual)

    async def _do(self, command: str) -> bool:
        """Take the step of a command; False where the connection is gone."""
        return await self._take(self._server.step(command))

    async def _take(self, step: Step, queued: str = "") -> bool:
        match step:
            case Act.HANG:
                await self._reader.read()  # until the other side goes
                return False
            case Act.DROP:
                self.writer.close()
                return False
            case Act.RESET:
                sock = self.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.writer.transport.abort()
                return False
            case Held(reply) | Late(reply):
                await (asyncio.sleep(step.after_s) if isinstance(step, Late) else self._server.released.wait())
                return await self._say(reply.replace("{queued}", queued))
            case bytes():
                self.writer.write(step)
                await self.writer.drain()
                return True
            case str():
                return await self._say(step.replace("{queued}", queued))

    async def _say(self, reply: str) -> bool:
        self.writer.write(f"{reply}\r\n".encode())
        await self.writer.drain()
        if reply.startswith("421"):
            self.writer.close()
            return False
        return True

    async def _other(self, command: str) -> bool:
        if command in DEFAULTS:
            return await self._do(command)
        self._server.note(command)
        return await self._say("500 5.5.2 unknown command")

    async def _ehlo(self, _: str) -> bool:
        offered = list(self._server.extensions)
        if self._secure and "STARTTLS" in offered:
            offered.remove("STARTTLS")
        if self._server.users and (self._secure or "STARTTLS" not in offered) and "AUTH" not in " ".join(offered):
            offered.append("AUTH PLAIN LOGIN")
        step = self._server.step("EHLO")
        if step:
            return await self._take(step)
        first, *others = ["mail.example.com", *offered]
        lines = [f"250-{first}", *(f"250-{line}" for line in others[:-1]), f"250 {others[-1]}"]
        return await self._say("\r\n".join(lines if others else [f"250 {first}"]))

    async def _starttls(self, _: str) -> bool:
        if self._server.tls is None:
            return await self._say("502 5.5.1 not offered")
        step = self._server.step("STARTTLS")
        if not await self._take(step):
            return False
        if step == DEFAULTS["STARTTLS"]:
            await self.writer.start_tls(self._server.tls)
            self._secure = True
        return True

    async def _auth(self, rest: str) -> bool:
        step = self._server.step("AUTH")
        if step:
            return await self._take(step)
        mechanism, _, initial = rest.partition(" ")
        match mechanism.upper():
            case "PLAIN":
                given = initial or await self._challenge("")
                _, name, password = base64.b64decode(given).decode().split("\0")
                right = self._server.users.get(name) == password
            case "LOGIN":
                name = base64.b64decode(initial or await self._challenge("Username:")).decode()
                password = base64.b64decode(await self._challenge("Password:")).decode()
                right = self._server.users.get(name) == password
            case "CRAM-MD5":
                challenge = "<1.2@mail.example.com>"
                name, _, digest = base64.b64decode(await self._challenge(challenge)).decode().rpartition(" ")
                secret = self._server.users.get(name, "").encode()
                right = hmac.new(secret, challenge.encode(), "md5").hexdigest() == digest
            case _:
                return await self._say("504 5.5.4 unrecognized authentication type")
        if not right:
            return await self._say("535 5.7.8 Error: authentication failed")
        self._user = name
        return await self._say("235 2.7.0 Authentication successful")

    async def _challenge(self, text: str) -> str:
        await self._say(f"334 {base64.b64encode(text.encode()).decode()}")
        return (await self._reader.readline()).decode().strip()

    async def _mail(self, rest: str) -> bool:
        if self._server.users and self._user is None:
            self._server.note("MAIL")
            return await self._say("530 5.7.0 Authentication required")
        if self._envelope is not None:
            self._server.note("MAIL")
            return await self._say("503 5.5.1 Error: nested MAIL command")
        path, _, options = rest.partition(" ")
        step = self._server.step("MAIL")
        if _says_yes(step):
            self._envelope = _Envelope(_address(path), options)
        return await self._take(step)

    async def _rcpt(self, rest: str) -> bool:
        step = self._step("RCPT", _address(rest.partition(" ")[0]))
        if self._envelope is None:
            return await self._say("503 5.5.1 Error: need MAIL command")
        if _says_yes(step):
            self._envelope.recipients.append(_address(rest.partition(" ")[0]))
        return await self._take(step)

    async def _data(self, _: str) -> bool:
        step = self._step("DATA", *self._recipients)
        if self._envelope is None or not self._envelope.recipients:
            return await self._say("554 5.5.1 Error: no valid recipients")
        if not await self._take(step):
            return False
        if not _begins(step, "354"):
            return True
        self._server.under_way += 1
        try:
            return await self._body(self._envelope)
        finally:
            self._server.under_way -= 1

    async def _body(self, envelope: _Envelope) -> bool:
        body_step = self._server.step("BODY")
        if body_step and not await self._take(body_step):
            return False
        lines: list[bytes] = []
        while (line := await self._reader.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line.removeprefix(b"."))
        return await self._dot(envelope, b"".join(lines))

    async def _dot(self, envelope: _Envelope, data: bytes) -> bool:
        self._envelope = None
        step = self._step("DOT", *envelope.recipients)
        queued = self._server.next_queued()
        if _says_yes(step) or step in (Act.DROP, Act.RESET, Act.HANG):  # taken, and then no answer: the worst case
            self._server.keep(
                Received(
                    envelope.sender,
                    tuple(envelope.recipients),
                    data,
                    envelope.options,
                    self._number,
                    self._secure,
                    self._user,
                    queued,
                )
            )
        return await self._take(step, queued)

    async def _rset(self, _: str) -> bool:
        self._envelope = None
        return await self._do("RSET")


def _begins(step: Step, code: str) -> bool:
    text = step.reply if isinstance(step, Held | Late) else step
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    return isinstance(text, str) and text.startswith(code)


def _says_yes(step: Step) -> bool:
    return _begins(step, "250")


def _address(path: str) -> str:
    return path.partition(":")[2].strip().removeprefix("<").removesuffix(">")


async def _until(holds: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(WITHIN_S):
            while not holds():  # noqa: ASYNC110  a test waits for a condition, whoever brings it about
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN_S:.0f} s: {what}") from None
