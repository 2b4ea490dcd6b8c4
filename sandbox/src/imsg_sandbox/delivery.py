"""The decision about a mail after its final dot: keep it, refuse it, or play a fault."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from imsg_sandbox.faults import Fault, Faults
from imsg_sandbox.inbox import Inbox, ReceivedMessage
from imsg_sandbox.magic import MagicMailboxes

METHOD = "smtp"

INLINE_OCTETS = 64 * 1024
"""A longer mail is checked in a thread."""

MAX_HEAD_OCTETS = 100 * 1024
"""Postfix's header_size_limit; no more of a head is checked."""

LINE_OCTETS = 998
"""RFC 5322, section 2.1.1; Exim refuses longer lines."""

BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
LONG_LINE = re.compile(rb"[^\n]{%d}" % (LINE_OCTETS + 2))
"""With the CR, one octet more than a line may have."""

FROM = re.compile(rb"^from:[^\S\n]*\S", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail after its final dot."""

    sender: str
    recipients: list[str]
    raw: bytes
    utf8: bool
    """Whether the sender requested SMTPUTF8."""


class Silence(Enum):
    """How the server gives no answer."""

    RESET = auto()
    HANG = auto()


@dataclass(frozen=True, slots=True)
class MailDelivery:
    """Decides about recipients and mails, and keeps the mails that it accepts."""

    inbox: Inbox
    faults: Faults
    magic: MagicMailboxes
    now: Callable[[], datetime]

    def refuse(self, address: str) -> str | None:
        """Return the refusal of a recipient after RCPT; None where it is accepted."""
        if self.faults.use(METHOD, Fault.GREYLIST):
            return f"451 4.7.1 <{address}>: Recipient address rejected: Greylisted, please try again"
        if address.casefold().endswith(".invalid"):  # RFC 2606: no such domain, ever
            return f"550 5.1.2 <{address}>: Recipient address rejected: Domain not found"
        trouble = self.magic.find(address, "recipient")
        return trouble.reply.format(address=address) if trouble and trouble.reply else None

    async def accept(self, mail: Mail) -> str | Silence:
        """Return the answer to the final dot, when it is due."""
        if late := self.faults.use(METHOD, Fault.LATENCY):
            await asyncio.sleep(late.ms / 1_000)
        if (answer := self._play_fault()) is not None:
            return answer
        problem = await asyncio.to_thread(find_problem, mail) if len(mail.raw) > INLINE_OCTETS else find_problem(mail)
        return problem or await self._decide(mail)

    def _play_fault(self) -> str | Silence | None:
        if self.faults.use(METHOD, Fault.HANG):
            return Silence.HANG
        if self.faults.use(METHOD, Fault.RESET_BEFORE):
            return Silence.RESET
        if self.faults.use(METHOD, Fault.SERVER_ERROR):
            return "554 5.3.0 Error: transaction failed"
        return None

    async def _decide(self, mail: Mail) -> str | Silence:
        troubles = [trouble for to in mail.recipients if (trouble := self.magic.find(to, "message"))]
        await asyncio.sleep(max((trouble.wait_s for trouble in troubles), default=0.0))
        if refusal := next((trouble.reply for trouble in troubles if trouble.reply), None):
            return refusal
        number = self._store(mail)
        if any(trouble.cut for trouble in troubles) or self.faults.use(METHOD, Fault.RESET_AFTER):
            return Silence.RESET
        return f"250 2.0.0 Ok: queued as {number:08X}"

    def _store(self, mail: Mail) -> int:
        at = self.now()
        number = 0
        for to in mail.recipients:
            number = self.inbox.add(ReceivedMessage(METHOD, to, mail.sender, mail.raw, at))
        return number


def _head(raw: bytes) -> bytes:
    end = raw.find(b"\r\n\r\n", 0, MAX_HEAD_OCTETS)
    return raw[:end] if end >= 0 else raw[:MAX_HEAD_OCTETS]


def find_problem(mail: Mail) -> str | None:
    """Return the refusal of a mail whose form real servers reject; None where it is valid."""
    head = _head(mail.raw)
    if BARE_LINE_FEED.search(mail.raw):  # Postfix since 3.9, against SMTP smuggling
        return "550 5.5.2 Error: bare <LF> received"
    if LONG_LINE.search(mail.raw):
        return f"550 5.6.0 Error: a line is over {LINE_OCTETS} octets (RFC 5322)"
    if not mail.utf8 and not head.isascii():
        return "550 5.6.7 Error: header has 8-bit characters, but SMTPUTF8 was not requested"
    if not FROM.search(head):  # Gmail
        return "550 5.7.1 Error: messages missing a valid From header are not accepted"
    return None
