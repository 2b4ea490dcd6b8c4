"""A mail server in a thread that counts its mails and misbehaves on order."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from imsg_testing.smtp_server import DEFAULTS, EXTENSIONS, Act, Late, Received, ScriptedReply, SmtpServer
from imsg_testing.tcp_server import LoopThread


class Manner(Enum):
    """How the server meets the end of a mail."""

    TAKE = "take"
    HANG = "hang"
    """It reads all and never answers."""
    RESET_BEFORE = "reset before"
    """It cuts the connection when the mail is announced: it has nothing."""
    RESET_AFTER = "reset after"
    """It takes the mail and cuts the connection instead of saying so."""
    AWAY = "away"
    """It greets with 421 and hangs up, as a server under maintenance does."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail that was taken."""

    to: str
    message_id: str
    at: float
    """By this machine's monotonic clock, in seconds."""


class Mailbox(SmtpServer):
    """Everything that was taken, and how the next mails are met."""

    def __init__(self) -> None:
        super().__init__({}, EXTENSIONS, {}, None)
        self.taken: list[Taken] = []
        self.manner = Manner.TAKE
        self.latency_s = 0.0
        """How long it thinks before it says that it has a mail."""

    @cached_property
    def _thread(self) -> LoopThread:
        """The thread, made when it is first opened: an unused loop would never be closed."""
        return LoopThread()

    @property
    def settings(self) -> dict[str, str]:
        """What makes a sender send here."""
        server = {"HOST": self.host, "PORT": str(self.port), "SECURITY": "none", "SENDER": "imsg@example.com"}
        return {f"IMSG_SMTP__{name}": value for name, value in server.items()}

    def counts(self, suffix: str) -> Counter[str]:
        """Count the mails of each recipient whose address ends so."""
        return Counter(mail.to for mail in list(self.taken) if mail.to.endswith(suffix))

    def message_ids(self, suffix: str) -> dict[str, set[str]]:
        """Return the Message-IDs that each such recipient has seen."""
        found: dict[str, set[str]] = {}
        for mail in list(self.taken):
            if mail.to.endswith(suffix):
                found.setdefault(mail.to, set()).add(mail.message_id)
        return found

    def hang_up(self) -> None:
        """Cut every connection, those that hang included."""
        self._thread.loop.call_soon_threadsafe(self.abort_connections)

    @contextmanager
    def running_apart(self) -> Iterator["Mailbox"]:
        """Listen in a thread of its own for as long as the context lasts."""
        with self._thread.running(self.running()):
            yield self

    def next_reply(self, command: str) -> ScriptedReply:
        """Reply as the manner says. No command is kept: there may be a million."""
        match (self.manner, command):
            case (Manner.AWAY, "GREETING"):
                return "421 4.3.2 mail.example.com is being looked after"
            case (Manner.RESET_BEFORE, "DATA") | (Manner.RESET_AFTER, "DOT"):
                return Act.RESET
            case (Manner.HANG, "DOT"):
                return Act.HANG
            case (_, "DOT") if self.latency_s:
                return Late(DEFAULTS["DOT"], self.latency_s)
        return DEFAULTS.get(command, "")

    def store(self, mail: Received) -> None:
        """Record a mail, unless the mailbox hangs: then it is neither recorded nor acknowledged."""
        if self.manner is Manner.HANG:
            return
        found = MESSAGE_ID.search(mail.data)
        to = mail.recipients[-1].casefold()
        self.taken.append(Taken(to, found.group(1).decode() if found else "", time.monotonic()))


MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
