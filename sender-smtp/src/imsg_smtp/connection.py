"""One open SMTP connection: it sends one mail after another, and is closed once its state is in doubt."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_smtp.dialogue import Dialogue, MalformedReplyError, NoReplyError, OutOfStepError, ReplyTimeoutError
from imsg_smtp.mime import Mail
from imsg_smtp.refusals import Scopes, Stage, classify_refusal
from imsg_smtp.replies import (
    DISCONNECTED,
    GIBBERISH,
    OUT_OF_STEP,
    PROVIDER,
    TIMEOUT,
    Reply,
    find_queue_id,
    unexpected_code,
)
from imsg_smtp.server_address import Timeouts, describe_error

BLOCK_OCTETS = 256 * 1024
"""Octets of a body that are written at once; before the next block the server must have read most of them."""

START_INPUT = 354
DATA = b"DATA\r\n"


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection failed before the server could have accepted the mail: a repeat is safe."""

    again: Again
    """The result for a mail that is not repeated at once."""

    @property
    def may_repeat(self) -> bool:
        """Whether to repeat at once: after a timeout that takes as long, and a server that throttles asks to wait."""
        return self.again.code != TIMEOUT and not self.again.is_paced


@dataclass(frozen=True, slots=True)
class Extensions:
    """The SMTP extensions that a server offers."""

    pipelining: bool
    size: bool
    smtputf8: bool
    dsn: bool
    size_limit: int
    """The largest size of a mail in octets; 0 if the server states none."""


class Connection:
    """An open connection. One mail at a time; not usable again once `is_usable` is False."""

    def __init__(
        self, dialogue: Dialogue, extensions: Extensions, scope: str, timeouts: Timeouts, close: Callable[[], None]
    ) -> None:
        """`close` closes the connection at once and drops unwritten data."""
        self.mails = 0
        """How many mails were begun on it."""
        self._dialogue = dialogue
        self._extensions = extensions
        self._scope = scope
        self._timeouts = timeouts
        self._close = close
        self._is_clean = True

    @property
    def is_usable(self) -> bool:
        """Whether another mail may be sent: connected, no transaction in an unknown state, no reply unread."""
        return self._is_clean and self._dialogue.is_idle

    async def is_alive(self) -> bool:
        """Send NOOP; return whether the server answers."""
        self._is_clean = await self._send_command(b"NOOP", self._timeouts.probe_s)
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
            failure = await self._send_up_to_last_block(mail)
            return failure if failure is not None else await self._send_last_block(mail)
        finally:
            if not self._is_clean:
                self.abort()  # also after a cancellation: a late reply would be taken for that of the next command

    def _find_unsupported(self, mail: Mail) -> Refused | None:
        """Return why the server's extensions do not allow the mail; None if they do."""
        limit = self._extensions.size_limit
        if limit and mail.size > limit:
            detail = f"The mail has {mail.size} bytes, and {self._scope} takes {limit}; send less."
            return Refused(PROVIDER, "too_large", detail)
        if mail.needs_utf8 and not self._extensions.smtputf8:
            detail = f"{self._scope} takes no address with characters beyond ASCII before the @ (no SMTPUTF8)."
            return Refused(PROVIDER, "no_smtputf8", detail)
        return None

    async def _send_up_to_last_block(self, mail: Mail) -> Again | Refused | Blocked | ConnectionLost | None:
        """Send the envelope and all but the last block; return a failure, at which the mail was not accepted."""
        try:
            await (self._send_envelope_pipelined(mail) if self._extensions.pipelining else self._send_envelope(mail))
            await self._send_first_blocks(mail)
        except _UnexpectedReplyError as error:
            return await self._convert_refusal(error, mail)
        except NoReplyError as error:
            return self._report_lost(error)
        return None

    async def _convert_refusal(
        self, error: "_UnexpectedReplyError", mail: Mail
    ) -> Again | Refused | Blocked | ConnectionLost:
        """Return the result of an unexpected reply; end the transaction if the connection can be kept."""
        reply = error.reply
        if not reply.is_refusal:
            detail = f"{self._scope} gave an answer that fits no question: {reply.text}"
            return ConnectionLost(Again(PROVIDER, unexpected_code(reply), detail))
        result = classify_refusal(reply, self._scopes_of(mail), error.stage)
        if reply.closes_connection and isinstance(result, Again):
            return ConnectionLost(result)
        if error.wants_body:
            self._is_clean = await self._send_empty_body()
        elif not error.is_within_body:
            self._is_clean = await self._send_command(b"RSET", self._timeouts.reset_s)
        return result

    async def _send_envelope(self, mail: Mail) -> None:
        """Send MAIL, RCPT and DATA one after the other."""
        for command, timeout_s in self._commands(mail):
            reply = await self._dialogue.send_command(command, timeout_s)
            if not _is_expected(command, reply):
                raise _UnexpectedReplyError(reply, _stage_of(command))

    async def _send_envelope_pipelined(self, mail: Mail) -> None:
        """Send MAIL, RCPT and DATA in one write (RFC 2920), which saves two round trips.

        The server may answer DATA with 354 although it refused the recipient: then an empty body ends the transaction.
        """
        commands = self._commands(mail)
        self._dialogue.write(b"".join(command for command, _ in commands))
        refused: tuple[Reply, Stage] | None = None
        for command, timeout_s in commands:
            reply = await self._dialogue.read(timeout_s)
            if reply.closes_connection or not (_is_expected(command, reply) or reply.is_refusal):
                raise _UnexpectedReplyError(
                    *(refused if refused and reply.closes_connection else (reply, _stage_of(command)))
                )
            if refused is None and not _is_expected(command, reply):
                refused = reply, _stage_of(command)
        if refused is not None:
            self._dialogue.check_in_step()
            raise _UnexpectedReplyError(*refused, wants_body=reply.code == START_INPUT)

    def _scopes_of(self, mail: Mail) -> Scopes:
        return Scopes(self._scope, mail.sender, mail.domains)

    def _commands(self, mail: Mail) -> tuple[tuple[bytes, float], ...]:
        """Return the commands of an envelope, each with the time limit of its reply."""
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
            (f"MAIL FROM:<{_check_path(sender)}>{options}\r\n".encode(encoding), self._timeouts.command_s),
            (f"RCPT TO:<{_check_path(mail.recipient)}>{parameters}\r\n".encode(encoding), self._timeouts.command_s),
            (DATA, self._timeouts.data_s),
        )

    async def _send_first_blocks(self, mail: Mail) -> None:
        if len(mail.body) <= BLOCK_OCTETS:
            return
        self._dialogue.write(mail.head)
        for start in range(0, _last_block_start(mail.body), BLOCK_OCTETS):
            self._dialogue.write(mail.body[start : start + BLOCK_OCTETS])
            await self._dialogue.drain(self._timeouts.block_s)
            if self._dialogue.has_unread:  # a reply before the end of the body is a refusal
                reply = await self._dialogue.read(self._timeouts.block_s)
                raise _UnexpectedReplyError(reply, Stage.DATA, is_within_body=True)

    async def _send_last_block(self, mail: Mail) -> Result | ConnectionLost:
        """Send the rest and the final dot, and wait for the reply. Without one the result is Unknown."""
        is_whole = len(mail.body) <= BLOCK_OCTETS
        rest = mail.head + mail.body if is_whole else mail.body[_last_block_start(mail.body) :]
        try:
            self._dialogue.write(rest + b".\r\n")
        except NoReplyError as error:
            return self._report_lost(error)
        try:
            reply = await self._dialogue.read(self._timeouts.dot_s)
        except NoReplyError as error:
            detail = f"{self._scope} did not answer after the whole mail was sent: {describe_error(error)}"
            return Unknown(PROVIDER, failure_code(error), detail)
        if reply.is_positive:
            self._is_clean = True
            return Sent(PROVIDER, find_queue_id(reply) or mail.message_id, reply.text)
        if reply.is_refusal:
            self._is_clean = not reply.closes_connection
            return classify_refusal(reply, self._scopes_of(mail), Stage.DATA)
        return Unknown(PROVIDER, unexpected_code(reply), reply.text)

    async def _send_empty_body(self) -> bool:
        """End a transaction without recipients in which the server waits for a body (RFC 2920, section 3.1)."""
        return await self._send_command(b".", self._timeouts.dot_s, accepts_refusal=True)

    async def _send_command(self, command: bytes, timeout_s: float, *, accepts_refusal: bool = False) -> bool:
        """Send a command outside a transaction; return whether another mail may follow its reply."""
        self._is_clean = False
        try:
            reply = await self._dialogue.send_command(command + b"\r\n", timeout_s)
        except NoReplyError:
            return False
        is_right = reply.is_positive or (accepts_refusal and reply.is_refusal and not reply.closes_connection)
        return is_right and not self._dialogue.has_unread

    def _report_lost(self, error: Exception) -> ConnectionLost:
        return ConnectionLost(Again(PROVIDER, failure_code(error), f"{self._scope}: {describe_error(error)}"))

    async def quit(self) -> None:
        """Send QUIT, wait for the reply at most `quit_s`, and close."""
        try:
            await self._send_command(b"QUIT", self._timeouts.quit_s)
        finally:
            self.abort()

    def abort(self) -> None:
        """Close at once; unwritten data is dropped."""
        self._is_clean = False
        self._close()


def _is_expected(command: bytes, reply: Reply) -> bool:
    return reply.code == START_INPUT if command == DATA else reply.is_positive


def _stage_of(command: bytes) -> Stage:
    return Stage.DATA if command == DATA else Stage.MAIL if command.startswith(b"MAIL") else Stage.RCPT


def _request_reports(address: str) -> str:
    """Request a report of delivery or failure, and none of delays (RFC 3461, 4.1 and 4.2)."""
    original = f" ORCPT=rfc822;{_XTEXT.sub(_write_octet, address)}" if address.isascii() else ""
    return f" NOTIFY=SUCCESS,FAILURE{original}"


_XTEXT = re.compile(r"[^!-*,-<>-~]")
"""The characters that xtext writes as +HH: `+`, `=`, and all but visible ASCII (RFC 3461, 4)."""


def _write_octet(match: re.Match[str]) -> str:
    return f"+{ord(match[0]):02X}"


def _check_path(address: str) -> str:
    """Return an address that is one argument of a command. Raises ValueError, which is a bug of the caller."""
    if any(letter <= " " or letter in "<>\x7f" for letter in address):
        raise ValueError("an address with a blank, a bracket or a control character")
    return address


def _last_block_start(body: bytes) -> int:
    return max(0, (len(body) - 1) // BLOCK_OCTETS * BLOCK_OCTETS)


def failure_code(error: Exception) -> str:
    """Return the result's code for an error that ended a connection."""
    match error:
        case OutOfStepError():
            return OUT_OF_STEP
        case MalformedReplyError():
            return GIBBERISH
        case ReplyTimeoutError() | TimeoutError():
            return TIMEOUT
    return DISCONNECTED


class _UnexpectedReplyError(Exception):
    """The reply to a command was not the expected one."""

    def __init__(self, reply: Reply, stage: Stage, *, wants_body: bool = False, is_within_body: bool = False) -> None:
        super().__init__(reply.text)
        self.reply = reply
        self.stage = stage
        self.wants_body = wants_body
        """The server waits for a body nevertheless."""
        self.is_within_body = is_within_body
        """The reply came while the body was being sent: only closing the connection ends the transaction."""
