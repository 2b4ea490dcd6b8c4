"""One connection to an IMAP server (RFC 9051, RFC 3501), by IMAPClient, whose calls block: they belong in a thread.

Each call is over after `TIMEOUT_S`, and raises `MailboxTrouble` with one sentence for people.
"""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

from imapclient import SEEN, IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError

from imsg_runtime.settings import StartError
from imsg_smtp.bounce_settings import BounceMailbox

TIMEOUT_S = 30.0

CONNECT_S = 10.0

SHOWN = 300
"""How much of a server's words is shown."""

MAX_BYTES = 1024 * 1024
"""How much of a message is fetched: what a report says stands at its beginning."""

HEAD_BYTES = 32 * 1024
"""How much of a message's headers is fetched, to tell whether it may be a bounce."""

PAGE = 5_000
"""Messages that are searched together: the library reads lines of a million octets at most."""

TAKEN = "iMSG"
"""The keyword of what was taken, where the server lets clients make keywords (RFC 9051, 2.3.2)."""

CODE_HINT = (
    "at QQ, Exmail and NetEase the password is an authorization code (授权码) that their web page gives, "
    "and IMAP has to be switched on there"
)


class MailboxTrouble(Exception):  # noqa: N818  a state of the world
    """The mailbox can't be read; its text says why, and what to do."""

    def __init__(self, text: str, *, needs_people: bool) -> None:
        super().__init__(text)
        self.needs_people = needs_people
        """Whether it stays so until somebody corrects a setting or the mailbox."""


@dataclass(frozen=True, slots=True)
class Found:
    """A message's beginning."""

    uid: int
    raw: bytes


class Imap:
    """A folder that is open, for reading alone (EXAMINE): nothing in it changes but what is marked, by its UID."""

    def __init__(self, where: BounceMailbox, client: IMAPClient) -> None:
        self._where = where
        self._client = client
        self.validity = 0
        """UIDVALIDITY: where it changes, all UIDs mean other messages (RFC 9051, 2.3.1.1)."""
        self.has_idle = False

    def open(self) -> None:
        """Log in and open the folder. Raises MailboxTrouble."""
        where, client = self._where, self._client
        with _told(where):
            self._identify()
            try:
                client.login(where.username, where.password.get_secret_value())
            except LoginError as error:
                raise MailboxTrouble(
                    f"{where.host}:{where.server_port} refuses the log-in of {where.username}: {_words(error)}; "
                    f"correct {where.variable('username')} and …__PASSWORD ({CODE_HINT})",
                    needs_people=True,
                ) from error
            self._identify()
            self.has_idle = client.has_capability("IDLE")
            try:
                self._examine()
            except (IMAPClientError, UnicodeError) as error:
                if isinstance(error, client.AbortError):
                    raise
                raise MailboxTrouble(
                    f"{where.host} does not open the folder {where.folder}: {_words(error)}; correct "
                    f"{where.variable('folder')}, or let mail programs in at the provider",
                    needs_people=True,
                ) from error
            self._check_move()

    def _examine(self) -> int:
        """Open the folder for reading; return how many messages it has."""
        examined = self._client.select_folder(self._where.folder, readonly=True)
        self.validity = int(examined.get(b"UIDVALIDITY", 0))
        return int(examined.get(b"EXISTS", 0))

    def _check_move(self) -> None:
        """Raise MailboxTrouble where messages can't be moved, and are to be."""
        target, setting = self._where.move_to, self._where.variable("move_to")
        if target is None:
            return
        if not (self._client.has_capability("MOVE") or self._client.has_capability("UIDPLUS")):
            raise MailboxTrouble(f"{self._where.host} can't move messages; unset {setting}", needs_people=True)
        if not self._client.folder_exists(target):
            raise MailboxTrouble(
                f"{self._where.host} has no folder {target}; make it, or unset {setting}", needs_people=True
            )

    def refresh(self) -> int:
        """Have the server tell what there is, UIDVALIDITY too; return how many messages. Raises MailboxTrouble."""
        with _told(self._where):
            return self._examine()

    def find(self, count: int, after: int | None, since: date) -> list[int]:
        """Return the UIDs of messages above `after`, or of those of `count` that came since a day where there is none.

        Raises MailboxTrouble.
        """
        with _told(self._where):
            if after is None:
                pages = (f"{first}:{min(first + PAGE - 1, count)}" for first in range(1, count + 1, PAGE))
                return sorted(uid for page in pages for uid in self._client.search([page, "SINCE", since, "UNDELETED"]))
            # `n:*` holds the last message even where its UID is below n.
            found = self._client.search(["UID", f"{after + 1}:*", "UNDELETED"])
            return sorted(uid for uid in found if uid > after)

    def fetch_heads(self, uids: Sequence[int]) -> list[Found]:
        """Fetch the headers of messages, and leave them unread; one that is gone is left out. Raises MailboxTrouble."""
        return self._fetch(uids, f"BODY.PEEK[HEADER]<0.{HEAD_BYTES}>")

    def fetch(self, uids: Sequence[int]) -> list[Found]:
        """Fetch the beginnings of messages and leave them unread; omit those that are gone. Raises MailboxTrouble."""
        return self._fetch(uids, f"BODY.PEEK[]<0.{MAX_BYTES}>")

    def _fetch(self, uids: Sequence[int], what: str) -> list[Found]:
        with _told(self._where):
            answers = self._client.fetch(uids, [what])
            pieces = [(uid, name, raw) for uid in uids if uid in answers for name, raw in answers[uid].items()]
            return [
                Found(uid, raw) for uid, name, raw in pieces if name.startswith(b"BODY[") and isinstance(raw, bytes)
            ]

    def mark(self, uids: Sequence[int]) -> None:
        """Mark messages as read and taken, and move them where that is set. Raises MailboxTrouble."""
        client = self._client
        with _told(self._where):
            selected = client.select_folder(self._where.folder)
            if int(selected.get(b"UIDVALIDITY", 0)) != self.validity:
                raise MailboxTrouble(f"{self._where.host} counts its messages anew", needs_people=False)
            has_keywords = b"\\*" in selected.get(b"PERMANENTFLAGS", ())
            client.add_flags(uids, [SEEN, TAKEN] if has_keywords else [SEEN], silent=True)
            if self._where.move_to is not None:
                self._move(uids, self._where.move_to)
            self._examine()

    def _move(self, uids: Sequence[int], target: str) -> None:
        """Move them (RFC 6851); else copy them and remove these alone (RFC 4315): a crash in between leaves two."""
        if self._client.has_capability("MOVE"):
            self._client.move(uids, target)
            return
        self._client.copy(uids, target)
        self._client.delete_messages(uids, silent=True)
        self._client.expunge(uids)

    def begin_idle(self) -> None:
        """Ask to be told of what comes (RFC 2177). Raises MailboxTrouble."""
        with _told(self._where):
            self._client.idle()

    def wait(self, at_most_s: float) -> bool:
        """Wait for news while idle; tell whether there may be a message. Raises MailboxTrouble."""
        with _told(self._where):
            began = time.monotonic()
            responses = self._client.idle_check(timeout=at_most_s)
            if not responses and time.monotonic() - began < at_most_s / 2:
                raise MailboxTrouble(f"{self._where.host} closed the connection", needs_people=False)
            return any(len(one) > 1 and one[1] in (b"EXISTS", b"RECENT") for one in responses)

    def end_idle(self) -> None:
        """Stop being told. Raises MailboxTrouble."""
        with _told(self._where):
            self._client.idle_done()

    def log_out(self) -> None:
        """Take leave, whatever comes of it."""
        with contextlib.suppress(MailboxTrouble), _told(self._where):
            self._client.logout()

    def abort(self) -> None:
        """Cut the connection off, from any thread: a call that blocks in another ends with MailboxTrouble."""
        with contextlib.suppress(OSError):
            self._client.socket().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, in the thread of its calls."""
        with contextlib.suppress(OSError, IMAPClientError):
            self._client.shutdown()

    def _identify(self) -> None:
        """Say who we are (RFC 2971), before the log-in and after it: NetEase opens no folder for a stranger."""
        if self._client.has_capability("ID"):
            self._client.id_({"name": "iMSG", "version": version("imsg-smtp"), "vendor": "iMSG"})


def connect(where: BounceMailbox, tls: ssl.SSLContext | None, timeout_s: float = TIMEOUT_S) -> Imap:
    """Connect, and begin TLS; nobody is logged in yet. Raises MailboxTrouble."""
    with _told(where):
        client = IMAPClient(
            where.host,
            where.server_port,
            ssl=where.protection == "tls",
            ssl_context=tls if where.protection == "tls" else None,
            timeout=SocketTimeout(connect=min(timeout_s, CONNECT_S), read=timeout_s),
        )
        if where.protection == "starttls":
            client.starttls(tls)
        return Imap(where, client)


def make_trust(where: BounceMailbox) -> ssl.SSLContext | None:
    """Make what TLS begins with; None without TLS. Raises StartError."""
    if where.protection == "none":
        return None
    context = ssl.create_default_context()
    if where.ca_file is not None:
        _trust(context, where.ca_file, where.variable("ca_file"))
    return context


def _trust(context: ssl.SSLContext, file: Path, name: str) -> None:
    try:
        context.load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"{name} names {file}, which holds no certificates in PEM form ({error}).") from error


@contextlib.contextmanager
def _told(where: BounceMailbox) -> Iterator[None]:
    """Say in words what the library raises."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise MailboxTrouble(
            f"the certificate of {where.host} is not trusted ({error.verify_message}); correct the host, or give its "
            f"authority by {where.variable('ca_file')}",
            needs_people=True,
        ) from error
    except (OSError, IMAPClientError, ValueError, EOFError) as error:
        reason = _words(error)
        raise MailboxTrouble(
            f"{where.host}:{where.server_port} does not answer as it should: {reason}", needs_people=False
        ) from error


def _words(error: BaseException) -> str:
    """Return what the server reason; the library hands on its bytes as Python writes them."""
    reason = str(error) or type(error).__name__
    return re.sub(r"b'([^']*)'", r"\1", reason)[:SHOWN]
