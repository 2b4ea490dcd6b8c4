"""One open SMTP connection: it sends one mail after another, and is closed in doubt."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from imsg_contract.wire import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_smtp.dialogue import Dialogue, MalformedReplyError, NoReplyError, OutOfStepError, ReplyTimeoutError
from imsg_smtp.mime import Mail
from imsg_smtp.refusals import Scopes, Stage, judge
from imsg_smtp.replies import (
    DISCONNECTED,
    GIBBERISH,
    OUT_OF_STEP,
    PROVIDER,
    TIMEOUT,
    Reply,
    queue_id,
    senseless,
)
from imsg_smtp.server_address import Timeouts, describe

BLOCK_OCTETS = 256 * 1024
"""Octets of a body that are written before the server has to have read most of them."""

START_INPUT = 354
DATA = b"DATA\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection failed before the server could have accepted the mail: a repeat is safe."""

    again: Again
    """The result, where the mail is not repeated at once."""

    @property
    def is_timeout(self) -> bool:
        """Whether it was a timeout, so that a repeat would take as long."""
        return self.again.code == TIMEOUT


@dataclass(frozen=True, slots=True)
class Extensions:
    """The SMTP extensions that a server offers."""

    pipelining: bool
    size: bool
    smtputf8: bool
    dsn: bool
    size_limit: int
    """Octets of a mail; 0 where it names none."""


class Connection:
    """An open connection. One mail at a time; not usable again once `is_usable` is False."""

    def __init__(
        self, dialogue: Dialogue, extensions: Extensions, scope: str, timeouts: Timeouts, close: Callable[[], None]
    ) -> None:
        """`close` closes it at once and drops what is not written yet."""
        self.mails = 0
        """How many were begun on it."""
        self._dialogue = dialogue
        self._extensions = extensions
        self._scope = scope
        self._timeouts = timeouts
        self._close = close
        self._is_clean = True

    @property
    def is_usable(self) -> bool:
        """Whether another mail may be sent: connected, no transaction in an unknown state, no reply unread."""
        return self._is_clean and self._dialogue.is_quiet

    async def is_alive(self) -> bool:
        """Send NOOP; tell whether the server answers."""
        self._is_clean = await self._ask(b"NOOP", self._timeouts.probe_s)
        if not self._is_clean:
            self.abort()
        return self._is_clean

    async def send(self, mail: Mail) -> Result | ConnectionLost:
        """Send one mail. Check `is_usable` before the next."""
        if (refused := self._find_unsupported(mail)) is not None:
            return refused
        self._is_clean = False
        self.mails += 1
        try:
            failure = await self._up_to_the_last_block(mail)
            return failure if failure is not None else await self._last_block(mail)
        finally:
            if not self._is_clean:
                self.abort()  # also where the task was cancelled: a late reply would shift all that follow

    def _find_unsupported(self, mail: Mail) -> Refused | None:
        """Refuse a mail that the server's extensions do not allow."""
        limit = self._extensions.size_limit
        if limit and mail.size > limit:
            detail = f"The mail has {mail.size} bytes, and {self._scope} takes {limit}; send less."
            return Refused(PROVIDER, "too_large", detail)
        if mail.needs_utf8 and not self._extensions.smtputf8:
            detail = f"{self._scope} takes no address with characters beyond ASCII before the @ (no SMTPUTF8)."
            return Refused(PROVIDER, "no_smtputf8", detail)
        return None

    async def _up_to_the_last_block(self, mail: Mail) -> Again | Refused | Blocked | ConnectionLost | None:
        """Send the envelope and all but the last block of the mail. Whatever fails here, the mail was not accepted."""
        try:
            await (self._envelope_at_once(mail) if self._extensions.pipelining else self._envelope(mail))
            await self._first_blocks(mail)
        except _NotYesError as no:
            return await self._refusal(no, mail)
        except NoReplyError as error:
            return self._report_lost(error)
        return None

    async def _refusal(self, no: "_NotYesError", mail: Mail) -> Again | Refused | Blocked | ConnectionLost:
        """Turn a reply other than yes into a result; end the transaction if the connection can be kept."""
        if not no.reply.is_refusal:
            detail = f"{self._scope} gave an answer that fits no question: {no.reply.text}"
            return ConnectionLost(Again(PROVIDER, senseless(no.reply), detail))
        result = judge(no.reply, self._scopes_of(mail), no.stage)
        if no.reply.is_farewell and isinstance(result, Again):
            return ConnectionLost(result)
        if not no.is_within_body:
            self._is_clean = await (self._end_empty() if no.wants_body else self._ask(b"RSET", self._timeouts.reset_s))
        return result

    async def _envelope(self, mail: Mail) -> None:
        """Send MAIL, RCPT and DATA one after the other."""
        for command, timeout_s in self._commands(mail):
            reply = await self._dialogue.ask(command, timeout_s)
            if not _is_yes(command, reply):
                raise _NotYesError(reply, _stage(command))

    async def _envelope_at_once(self, mail: Mail) -> None:
        """Send them in one write (RFC 2920), which saves two round trips; replies come in the order of commands.

        DATA may be answered with 354 although the recipient was refused: then an empty body ends the transaction.
        """
        commands = self._commands(mail)
        self._dialogue.write(b"".join(command for command, _ in commands))
        refused: tuple[Reply, Stage] | None = None
        for command, timeout_s in commands:
            reply = await self._dialogue.read(timeout_s)
            if reply.is_farewell or not (_is_yes(command, reply) or reply.is_refusal):
                raise _NotYesError(*(refused if refused and reply.is_farewell else (reply, _stage(command))))
            if refused is None and not _is_yes(command, reply):
                refused = reply, _stage(command)
        if refused is not None:
            self._dialogue.check_in_step()
            raise _NotYesError(*refused, wants_body=reply.code == START_INPUT)

    def _scopes_of(self, mail: Mail) -> Scopes:
        return Scopes.of(self._scope, mail.sender, mail.recipient)

    def _commands(self, mail: Mail) -> tuple[tuple[bytes, float], ...]:
        """Write the commands of an envelope, each with how long its answer may take."""
        encoding = "utf-8" if mail.needs_utf8 else "ascii"
        options = f" SIZE={mail.size}" if self._extensions.size else ""
        options += " SMTPUTF8" if mail.needs_utf8 else ""
        sender, parameters = mail.sender, ""
        if mail.return_path is not None:
            sender = mail.return_path.address
            if self._extensions.dsn:
                options += f" RET=HDRS ENVID={mail.return_path.envelope_id}"
                parameters = _request_reports(mail.recipient)
        return (
            (f"MAIL FROM:<{_path(sender)}>{options}\r\n".encode(encoding), self._timeouts.command_s),
            (f"RCPT TO:<{_path(mail.recipient)}>{parameters}\r\n".encode(encoding), self._timeouts.command_s),
            (DATA, self._timeouts.data_s),
        )

    async def _first_blocks(self, mail: Mail) -> None:
        if len(mail.body) <= BLOCK_OCTETS:
            return
        self._dialogue.write(mail.head)
        for start in range(0, _last_block(mail.body), BLOCK_OCTETS):
            self._dialogue.write(mail.body[start : start + BLOCK_OCTETS])
            await self._dialogue.drain(self._timeouts.block_s)
            if self._dialogue.has_unread:  # an answer before the end: nothing that follows would be heard
                reply = await self._dialogue.read(self._timeouts.block_s)
                raise _NotYesError(reply, Stage.DATA, is_within_body=True)

    async def _last_block(self, mail: Mail) -> Result | ConnectionLost:
        """Send the rest and the final dot, and wait for the answer. From the dot on, silence is `unknown`."""
        is_whole = len(mail.body) <= BLOCK_OCTETS
        rest = mail.head + mail.body if is_whole else mail.body[_last_block(mail.body) :]
        try:
            self._dialogue.write(rest + b".\r\n")
        except NoReplyError as error:
            return self._report_lost(error)
        try:
            reply = await self._dialogue.read(self._timeouts.dot_s)
        except NoReplyError as error:
            detail = f"{self._scope} did not answer after the whole mail was sent: {describe(error)}"
            return Unknown(PROVIDER, name_trouble(error), detail)
        if reply.is_acceptance:
            self._is_clean = True
            return Sent(PROVIDER, queue_id(reply) or mail.message_id, reply.text)
        if reply.is_refusal:
            self._is_clean = not reply.is_farewell
            return judge(reply, self._scopes_of(mail), Stage.DATA)
        return Unknown(PROVIDER, senseless(reply), reply.text)

    async def _end_empty(self) -> bool:
        """End a transaction that waits for a body though nobody is to get one (RFC 2920, section 3.1)."""
        return await self._ask(b".", self._timeouts.dot_s, any_answer=True)

    async def _ask(self, command: bytes, timeout_s: float, *, any_answer: bool = False) -> bool:
        """Send a command outside a mail; tell whether another mail may follow its reply."""
        self._is_clean = False
        try:
            reply = await self._dialogue.ask(command + b"\r\n", timeout_s)
        except NoReplyError:
            return False
        is_right = reply.is_acceptance or (any_answer and reply.is_refusal and not reply.is_farewell)
        return is_right and not self._dialogue.has_unread

    def _report_lost(self, error: Exception) -> ConnectionLost:
        return ConnectionLost(Again(PROVIDER, name_trouble(error), f"{self._scope}: {describe(error)}"))

    async def quit(self) -> None:
        """Send QUIT, within its bound, and close."""
        try:
            await self._ask(b"QUIT", self._timeouts.quit_s)
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once; what is not written yet is dropped."""
        self._is_clean = False
        self._close()


def _is_yes(command: bytes, reply: Reply) -> bool:
    return reply.code == START_INPUT if command == DATA else reply.is_acceptance


def _stage(command: bytes) -> Stage:
    return Stage.DATA if command == DATA else Stage.MAIL if command.startswith(b"MAIL") else Stage.RCPT


def _request_reports(address: str) -> str:
    """Request a report of delivery or failure, and none of delays (RFC 3461, 4.1 and 4.2)."""
    original = f" ORCPT=rfc822;{_XTEXT.sub(_write_octet, address)}" if address.isascii() else ""
    return f" NOTIFY=SUCCESS,FAILURE{original}"


_XTEXT = re.compile(r"[^!-*,-<>-~]")
"""What xtext writes as +HH: `+`, `=`, and what is no visible ASCII (RFC 3461, 4)."""


def _write_octet(found: re.Match[str]) -> str:
    return f"+{ord(found[0]):02X}"


def _path(address: str) -> str:
    """Check that an address stays one argument of a command. Raises ValueError, which is a bug of ours."""
    if any(letter <= " " or letter in "<>\x7f" for letter in address):
        raise ValueError("an address with a blank, a bracket or a control character")
    return address


def _last_block(body: bytes) -> int:
    return max(0, (len(body) - 1) // BLOCK_OCTETS * BLOCK_OCTETS)


def name_trouble(error: Exception) -> str:
    """Name what ended a connection, as the code of a result."""
    match error:
        case OutOfStepError():
            return OUT_OF_STEP
        case MalformedReplyError():
            return GIBBERISH
        case ReplyTimeoutError() | TimeoutError():
            return TIMEOUT
    return DISCONNECTED


class _NotYesError(Exception):
    """The reply to a command was not yes."""

    def __init__(self, reply: Reply, stage: Stage, *, wants_body: bool = False, is_within_body: bool = False) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.stage = stage
        self.wants_body = wants_body
        """The server waits for a body nevertheless."""
        self.is_within_body = is_within_body
        """It came while the body was being sent, which can't be broken off but by the connection's end."""
