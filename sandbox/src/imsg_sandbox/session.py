"""One SMTP connection from greeting to end, as a strict server answers it (RFC 5321)."""

import asyncio
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import NoReturn

from imsg_sandbox.delivery import Post, Silence
from imsg_sandbox.envelope import Envelope, Malformed, path, verify
from imsg_sandbox.faults import HANG_S
from imsg_sandbox.lines import Ended, Input, TooLong
from imsg_sandbox.login import LINE_OCTETS as LOGIN_OCTETS
from imsg_sandbox.login import MECHANISMS, Login, NotUnderstood

HOSTNAME = "sandbox.imsg.example"

IDLE_S = 300.0
"""RFC 5321, section 4.5.3.2.7."""

LINE_OCTETS = 2_048
"""A command with its parameters (512 in RFC 5321; extensions add theirs)."""

MAX_RECIPIENTS = 100
MAX_BAD_COMMANDS = 10
MAX_BAD_LOGINS = 3

NEEDS_TLS = "530 5.7.0 Must issue a STARTTLS command first"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a server demands and offers."""

    max_bytes: int
    login: Login | None = None
    """Who may send; None: everybody."""
    starttls: ssl.SSLContext | None = None
    """Certificate to offer STARTTLS with; a login is then taken only under TLS."""


class Over(Exception):  # noqa: N818  the ordinary end
    """This connection is at its end."""


class Session:
    """One connection; `run` is its whole life."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rules: Rules, post: Post) -> None:
        self._input = Input(reader)
        self._writer = writer
        self._rules = rules
        self._post = post
        self._greeted = False
        self._encrypted = writer.get_extra_info("ssl_object") is not None
        self._logged_in = rules.login is None
        self._bad_commands = 0
        self._bad_logins = 0
        self._envelope: Envelope | None = None
        self._commands = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "VRFY": self._vrfy,
            "QUIT": self._quit,
        }

    async def run(self) -> None:
        """Greet and answer until the end. A peer that vanishes is no error."""
        try:
            await self._say(f"220 {HOSTNAME} ESMTP iMSG sandbox")
            while True:
                await self._answer()
        except TimeoutError:
            self._writer.write(f"421 4.4.2 {HOSTNAME} Error: timeout exceeded\r\n".encode())
        except (Over, Ended, ConnectionError):
            pass
        finally:
            self._writer.close()

    async def _answer(self) -> None:
        try:
            async with asyncio.timeout(IDLE_S):
                line = (await self._input.line(LINE_OCTETS)).decode()
        except TooLong:
            await self._bad("500 5.5.2 Error: line too long")
            return
        except UnicodeDecodeError:
            await self._bad("500 5.5.2 Error: bad UTF-8 syntax")
            return
        verb, _, argument = line.partition(" ")
        command = self._commands.get(verb.upper())
        if command is None:
            await self._bad("500 5.5.2 Error: command not recognized")
            return
        await command(argument.strip())

    async def _ehlo(self, name: str) -> None:
        lines = [HOSTNAME, "PIPELINING", f"SIZE {self._rules.max_bytes}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        if self._may_encrypt:
            lines.append("STARTTLS")
        elif self._rules.login is not None:
            lines.append(f"AUTH {' '.join(MECHANISMS)}")
        reply = "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])
        await self._hello(name, reply)

    async def _helo(self, name: str) -> None:
        await self._hello(name, f"250 {HOSTNAME}")

    async def _hello(self, name: str, reply: str) -> None:
        if not name:
            await self._bad("501 5.5.4 Syntax: EHLO hostname")
            return
        self._greeted, self._envelope = True, None
        await self._say(reply)

    async def _rset(self, _: str) -> None:
        self._envelope = None
        await self._say("250 2.0.0 Ok")

    async def _noop(self, _: str) -> None:
        await self._say("250 2.0.0 Ok")

    async def _vrfy(self, _: str) -> None:
        await self._say("252 2.0.0 Send some mail, I will try")

    async def _quit(self, _: str) -> None:
        await self._end("221 2.0.0 Bye")

    @property
    def _may_encrypt(self) -> bool:
        return self._rules.starttls is not None and not self._encrypted

    async def _starttls(self, _: str) -> None:
        if self._rules.starttls is None or self._encrypted:
            await self._bad("502 5.5.1 Error: command not implemented")
            return
        if not self._input.is_empty:  # commands smuggled in before encryption (CVE-2011-0411)
            await self._end("554 5.5.1 Error: commands pipelined after STARTTLS")
        await self._say("220 2.0.0 Ready to start TLS")
        try:
            await self._writer.start_tls(self._rules.starttls)
        except ssl.SSLError as error:
            raise Over from error
        self._encrypted, self._greeted, self._envelope = True, False, None

    async def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if self._rules.login is None:
            await self._bad("503 5.5.1 Error: authentication not enabled")
        elif self._may_encrypt:
            await self._bad(NEEDS_TLS)
        elif self._logged_in:
            await self._bad("503 5.5.1 Error: already authenticated")
        elif mechanism.upper() not in MECHANISMS:
            await self._bad("504 5.5.4 Unrecognized authentication type")
        else:
            await self._log_in(self._rules.login, mechanism.upper(), initial.strip())

    async def _log_in(self, login: Login, mechanism: str, initial: str) -> None:
        try:
            self._logged_in = await login.succeeds(mechanism, initial, self._ask)
        except (NotUnderstood, TooLong, UnicodeDecodeError):
            await self._bad("501 5.5.2 Error: cannot decode the response")
            return
        if self._logged_in:
            await self._say("235 2.7.0 Authentication successful")
            return
        self._bad_logins += 1
        if self._bad_logins >= MAX_BAD_LOGINS:
            await self._end("421 4.7.0 Error: too many failed logins")
        await self._say("535 5.7.8 Error: authentication failed")

    async def _ask(self, prompt: str) -> str:
        await self._say(f"334 {prompt}")
        async with asyncio.timeout(IDLE_S):
            return (await self._input.line(LOGIN_OCTETS)).decode()

    async def _mail(self, argument: str) -> None:
        if not self._greeted:
            await self._bad("503 5.5.1 Error: send HELO/EHLO first")
        elif not self._logged_in:
            await self._bad(NEEDS_TLS if self._may_encrypt else "530 5.7.0 Authentication required")
        elif self._envelope is not None:
            await self._bad("503 5.5.1 Error: nested MAIL command")
        else:
            await self._say(self._begin(argument))

    def _begin(self, argument: str) -> str:
        try:
            sender, parameters = path(argument, "FROM")
        except Malformed:
            return "501 5.5.4 Syntax: MAIL FROM:<address>"
        if unknown := parameters.keys() - {"SIZE", "BODY", "SMTPUTF8", "AUTH"}:
            return f"555 5.5.4 Unsupported option: {min(unknown)}"
        size, body = parameters.get("SIZE", "0"), parameters.get("BODY", "7BIT").upper()
        if not size.isdecimal() or body not in ("7BIT", "8BITMIME"):
            return "501 5.5.4 Bad SIZE or BODY parameter"
        if int(size) > self._rules.max_bytes:
            return "552 5.3.4 Message size exceeds fixed limit"
        utf8 = "SMTPUTF8" in parameters
        try:
            if sender:  # the null sender of a bounce is right
                verify(sender, utf8=utf8)
        except Malformed:
            return "501 5.1.7 Bad sender address syntax"
        self._envelope = Envelope(sender, utf8)
        return "250 2.1.0 Ok"

    async def _rcpt(self, argument: str) -> None:
        if self._envelope is None:
            await self._bad("503 5.5.1 Error: need MAIL command")
        else:
            await self._say(self._add(self._envelope, argument))

    def _add(self, envelope: Envelope, argument: str) -> str:
        try:
            address, parameters = path(argument, "TO")
        except Malformed:
            return "501 5.5.4 Syntax: RCPT TO:<address>"
        if parameters:
            return f"555 5.5.4 Unsupported option: {min(parameters)}"
        try:
            verify(address, utf8=envelope.utf8)
        except Malformed:
            return "501 5.1.3 Bad recipient address syntax"
        if len(envelope.recipients) >= MAX_RECIPIENTS:
            return "452 4.5.3 Error: too many recipients"
        if refusal := self._post.refuses(address):
            return refusal
        envelope.recipients.append(address)
        return "250 2.1.5 Ok"

    async def _data(self, _: str) -> None:
        envelope = self._envelope
        if envelope is None or not envelope.recipients:
            await self._bad(f"503 5.5.1 Error: need {'RCPT' if envelope else 'MAIL'} command")
            return
        self._envelope = None
        await self._say("354 End data with <CR><LF>.<CR><LF>")
        try:
            async with asyncio.timeout(IDLE_S):
                body = await self._input.body(self._rules.max_bytes)
        except TooLong:
            await self._say("552 5.3.4 Message size exceeds fixed limit")
            return
        match await self._post.take(envelope, body):
            case Silence.RESET:
                self._reset()
            case Silence.HANG:
                await self._hang()
            case str(reply):
                await self._say(reply)

    def _reset(self) -> NoReturn:
        """Cut the connection at once, without a farewell (RST)."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        raise Over

    async def _hang(self) -> NoReturn:
        """Say nothing until the peer gives up."""
        async with asyncio.timeout(HANG_S):
            while True:
                await self._input.line(LINE_OCTETS)

    async def _bad(self, reply: str) -> None:
        self._bad_commands += 1
        if self._bad_commands > MAX_BAD_COMMANDS:
            await self._end(f"421 4.7.0 {HOSTNAME} Error: too many errors")
        await self._say(reply)

    async def _end(self, reply: str) -> NoReturn:
        await self._say(reply)
        raise Over

    async def _say(self, reply: str) -> None:
        self._writer.write(f"{reply}\r\n".encode())
        await self._writer.drain()
