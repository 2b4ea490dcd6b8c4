"""A mail server that counts what it takes, in a thread of its own, and misbehaves on order."""

import asyncio
import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


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


class Mailbox:
    """Everything that was taken, and how the next mails are met."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.manner = Manner.TAKE
        self.latency_s = 0.0
        """How long it thinks before it says that it has a mail."""
        self.under_way = 0
        """Mails that were announced and not answered yet."""
        self.port = 0
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, name="mailbox", daemon=True)
        self._listening = threading.Event()
        self._sessions: set[_Session] = set()

    @property
    def settings(self) -> dict[str, str]:
        """What makes a sender send here."""
        server = {"HOST": "127.0.0.1", "PORT": str(self.port), "SECURITY": "none", "SENDER": "imsg@example.com"}
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
        self._loop.call_soon_threadsafe(self._cut)

    @contextlib.contextmanager
    def running(self) -> Iterator["Mailbox"]:
        """Listen on a free port of the loopback for as long as the context lasts."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        self._listening.wait(10)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)

    def _cut(self) -> None:
        for session in list(self._sessions):
            session.cut()

    def _run(self) -> None:
        server = self._loop.run_until_complete(self._loop.create_server(lambda: _Session(self), "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()
        self._cut()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


END = b"\r\n.\r\n"
MESSAGE_ID = re.compile(rb"^message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
ADDRESS = re.compile(rb"<([^>]*)>")


class _Session(asyncio.Protocol):
    """One connection; nobody pipelines, since it is not offered."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._buffer = b""
        self._is_data = False
        self._to = ""
        self._begun = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._mailbox._sessions.add(self)
        if self._mailbox.manner is Manner.AWAY:
            self._say("421 4.3.2 mail.example.com is being looked after")
            transport.close()
            return
        self._say("220 mail.example.com ESMTP")

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget what was under way."""
        self._mailbox._sessions.discard(self)
        self._ended()

    def data_received(self, data: bytes) -> None:
        """Read lines, or a mail to its end."""
        self._buffer += data
        while self._buffer:
            if self._is_data:
                mail, found, rest = self._buffer.partition(END)
                if not found:
                    return
                self._buffer, self._is_data = rest, False
                self._mail(mail)
                continue
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            self._buffer = rest
            self._command(line)

    def cut(self) -> None:
        """Reset the connection."""
        if self._transport is not None:
            self._transport.abort()

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"EHLO":
            self._say("250-mail.example.com\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 36700160")
        elif verb == b"RCPT":
            match = ADDRESS.search(line)
            self._to = match.group(1).decode().casefold() if match else ""
            self._say("250 2.1.5 Ok")
        elif verb == b"DATA":
            self._data()
        elif verb == b"QUIT":
            self._say("221 2.0.0 Bye")
            assert self._transport is not None
            self._transport.close()
        else:
            self._say("250 2.0.0 Ok")

    def _data(self) -> None:
        if self._mailbox.manner is Manner.RESET_BEFORE:
            self.cut()
            return
        self._is_data, self._begun = True, True
        self._mailbox.under_way += 1
        self._say("354 End data with <CR><LF>.<CR><LF>")

    def _mail(self, mail: bytes) -> None:
        manner = self._mailbox.manner
        if manner is Manner.HANG:
            return
        found = MESSAGE_ID.search(mail)
        self._mailbox.taken.append(Taken(self._to, found.group(1).decode() if found else "", time.monotonic()))
        if manner is Manner.RESET_AFTER:
            self.cut()
        elif self._mailbox.latency_s:
            asyncio.get_running_loop().call_later(self._mailbox.latency_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        self._ended()
        self._say(f"250 2.0.0 Ok: queued as {len(self._mailbox.taken):06}")

    def _ended(self) -> None:
        if self._begun:
            self._begun = False
            self._mailbox.under_way -= 1

    def _say(self, line: str) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(f"{line}\r\n".encode())
