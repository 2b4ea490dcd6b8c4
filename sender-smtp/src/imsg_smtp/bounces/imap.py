"""One connection to an IMAP server (RFC 9051, RFC 3501) by IMAPClient. Its calls block: make them in a thread.

Each call returns within `TIMEOUT_S`, or raises `MailboxError` with one sentence for the operator.
"""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from imapclient import SEEN, IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError

from imsg_contract.provider_accounts import ProviderTrouble
from imsg_delivery.provider_kinds import FORBIDDEN_ADDRESS
from imsg_runtime.settings import StartError
from imsg_smtp.bounce_settings import BounceMailbox
from imsg_smtp.oauth_troubles import find_remedy
from imsg_web.destinations import INSIDE

TIMEOUT_S = 30.0

CONNECT_S = 10.0

MAX_SHOWN_CHARACTERS = 300
"""How many characters of a server's text are shown."""

MAX_BYTES = 1024 * 1024
"""How much of a message is fetched: the report is at its beginning."""

HEAD_BYTES = 32 * 1024
"""How much of a message's headers is fetched, to decide whether it may be a bounce."""

SEARCH_SIZE = 5_000
"""How many messages one SEARCH covers: the library reads lines of at most a million octets."""

KEYWORD = "iMSG"
"""The keyword that marks processed bounces, where the server lets clients create keywords (RFC 9051, 2.3.2)."""

CODE_HINT = (
    "at QQ, Exmail and NetEase the password is an authorization code (授权码) that their web page gives, "
    "and IMAP has to be switched on there"
)


class MailboxError(Exception):
    """The mailbox can't be read; the text says why, and the remedy."""

    def __init__(
        self, text: str, *, needs_operator: bool, trouble: ProviderTrouble | None = None, is_log_in: bool = False
    ) -> None:
        super().__init__(text)
        self.needs_operator = needs_operator
        """Whether the error lasts until the operator corrects a setting or the mailbox."""
        self.trouble = trouble
        """The error for who set the mailbox up in the web page; None: the text is all there is."""
        self.is_log_in = is_log_in
        """Whether the server refuses the log-in."""


@dataclass(frozen=True, slots=True)
class FetchedMessage:
    """The UID of a message, and the first octets of the message or of its headers."""

    uid: int
    raw: bytes


class Imap:
    """An open folder. It is opened for reading only (EXAMINE); `mark` alone changes it."""

    def __init__(self, settings: BounceMailbox, client: IMAPClient) -> None:
        self._settings = settings
        self._client = client
        self.validity = 0
        """UIDVALIDITY: once it changes, all UIDs denote other messages (RFC 9051, 2.3.1.1)."""
        self.has_idle = False

    def open(self, token: str | None = None) -> None:
        """Log in, by a token where one is given, and open the folder. Raises MailboxError."""
        settings, client = self._settings, self._client
        with _translate_errors(settings):
            self._identify()
            try:
                if token is None:
                    assert settings.password is not None  # noqa: S101  the settings want one, or a token
                    client.login(settings.username, settings.password.get_secret_value())
                else:
                    client.sasl_login("XOAUTH2", _answer_challenges(settings.username, token))
            except LoginError as error:
                raise _refuse_log_in(settings, _describe(error), is_by_token=token is not None) from error
            self._identify()
            self.has_idle = client.has_capability("IDLE")
            try:
                self._examine()
            except (IMAPClientError, UnicodeError) as error:
                if isinstance(error, client.AbortError):
                    raise
                raise MailboxError(
                    f"{settings.host} does not open the folder {settings.folder}: {_describe(error)}; correct "
                    f"{settings.variable('folder')}, or let mail programs in at the provider",
                    needs_operator=True,
                ) from error
            self._check_move()

    def _examine(self) -> int:
        """Open the folder for reading; return how many messages it has."""
        examined = self._client.select_folder(self._settings.folder, readonly=True)
        self.validity = int(examined.get(b"UIDVALIDITY", 0))
        return int(examined.get(b"EXISTS", 0))

    def _check_move(self) -> None:
        """Raise MailboxError where `move_to` is set and the server can't move messages there."""
        target, setting = self._settings.move_to, self._settings.variable("move_to")
        if target is None:
            return
        if not (self._client.has_capability("MOVE") or self._client.has_capability("UIDPLUS")):
            raise MailboxError(f"{self._settings.host} can't move messages; unset {setting}", needs_operator=True)
        if not self._client.folder_exists(target):
            raise MailboxError(
                f"{self._settings.host} has no folder {target}; make it, or unset {setting}", needs_operator=True
            )

    def refresh(self) -> int:
        """Open the folder again and update `validity`; return the number of messages. Raises MailboxError."""
        with _translate_errors(self._settings):
            return self._examine()

    def find(self, count: int, after: int | None, since: date) -> list[int]:
        """Return the UIDs above `after`, ascending. With `after` None: those of all `count` messages since a day.

        Raises MailboxError.
        """
        with _translate_errors(self._settings):
            if after is None:
                pages = (f"{first}:{min(first + SEARCH_SIZE - 1, count)}" for first in range(1, count + 1, SEARCH_SIZE))
                return sorted(uid for page in pages for uid in self._client.search([page, "SINCE", since, "UNDELETED"]))
            # `n:*` matches the last message even if its UID is below n.
            uids = self._client.search(["UID", f"{after + 1}:*", "UNDELETED"])
            return sorted(uid for uid in uids if uid > after)

    def fetch_heads(self, uids: Sequence[int]) -> list[FetchedMessage]:
        """Fetch the headers of messages and leave them unread; omit deleted messages. Raises MailboxError."""
        return self._fetch(uids, f"BODY.PEEK[HEADER]<0.{HEAD_BYTES}>")

    def fetch(self, uids: Sequence[int]) -> list[FetchedMessage]:
        """Fetch the first MAX_BYTES of messages and leave them unread; omit deleted ones. Raises MailboxError."""
        return self._fetch(uids, f"BODY.PEEK[]<0.{MAX_BYTES}>")

    def _fetch(self, uids: Sequence[int], what: str) -> list[FetchedMessage]:
        with _translate_errors(self._settings):
            responses = self._client.fetch(uids, [what])
            pieces = [(uid, name, raw) for uid in uids if uid in responses for name, raw in responses[uid].items()]
            return [
                FetchedMessage(uid, raw)
                for uid, name, raw in pieces
                if name.startswith(b"BODY[") and isinstance(raw, bytes)
            ]

    def mark(self, uids: Sequence[int]) -> None:
        """Mark messages as read, add the keyword, and move them if `move_to` is set. Raises MailboxError."""
        client = self._client
        with _translate_errors(self._settings):
            selected = client.select_folder(self._settings.folder)
            if int(selected.get(b"UIDVALIDITY", 0)) != self.validity:
                raise MailboxError(f"{self._settings.host} has renumbered its messages", needs_operator=False)
            has_keywords = b"\\*" in selected.get(b"PERMANENTFLAGS", ())
            client.add_flags(uids, [SEEN, KEYWORD] if has_keywords else [SEEN], silent=True)
            if self._settings.move_to is not None:
                self._move(uids, self._settings.move_to)
            self._examine()

    def _move(self, uids: Sequence[int], target: str) -> None:
        """Move messages (RFC 6851), or copy and expunge them (RFC 4315): then a crash in between leaves both."""
        if self._client.has_capability("MOVE"):
            self._client.move(uids, target)
            return
        self._client.copy(uids, target)
        self._client.delete_messages(uids, silent=True)
        self._client.expunge(uids)

    def begin_idle(self) -> None:
        """Begin IDLE: the server reports new messages (RFC 2177). Raises MailboxError."""
        with _translate_errors(self._settings):
            self._client.idle()

    def wait(self, timeout_s: float) -> bool:
        """Wait during IDLE; return whether the server reported a message. Raises MailboxError."""
        with _translate_errors(self._settings):
            began = time.monotonic()
            responses = self._client.idle_check(timeout=timeout_s)
            if not responses and time.monotonic() - began < timeout_s / 2:
                raise MailboxError(f"{self._settings.host} closed the connection", needs_operator=False)
            return any(len(response) > 1 and response[1] in (b"EXISTS", b"RECENT") for response in responses)

    def end_idle(self) -> None:
        """End IDLE. Raises MailboxError."""
        with _translate_errors(self._settings):
            self._client.idle_done()

    def log_out(self) -> None:
        """Send LOGOUT, and ignore errors."""
        with contextlib.suppress(MailboxError), _translate_errors(self._settings):
            self._client.logout()

    def abort(self) -> None:
        """Shut the socket down, from any thread: a call that blocks in another thread raises MailboxError."""
        with contextlib.suppress(OSError):
            self._client.socket().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; call it in the thread of the other calls."""
        with contextlib.suppress(OSError, IMAPClientError):
            self._client.shutdown()

    def _identify(self) -> None:
        """Send ID (RFC 2971), before the log-in and after it: NetEase opens no folder without it."""
        if self._client.has_capability("ID"):
            self._client.id_({"name": "iMSG", "version": version("imsg-smtp"), "vendor": "iMSG"})


def connect(settings: BounceMailbox, tls: ssl.SSLContext | None, timeout_s: float = TIMEOUT_S) -> Imap:
    """Connect and start TLS, without a log-in. Raises MailboxError."""
    with _translate_errors(settings):
        _check_address(settings, lambda: (info[4] for info in socket.getaddrinfo(settings.host, None)))
        client = IMAPClient(
            settings.host,
            settings.server_port,
            ssl=settings.protection == "tls",
            ssl_context=tls if settings.protection == "tls" else None,
            timeout=SocketTimeout(connect=min(timeout_s, CONNECT_S), read=timeout_s),
        )
        try:
            _check_address(settings, lambda: (client.socket().getpeername(),))  # the library resolves the name anew
        except MailboxError:
            client.shutdown()
            raise
        if settings.protection == "starttls":
            client.starttls(tls)
        return Imap(settings, client)


def _check_address(settings: BounceMailbox, list_addresses: Callable[[], Iterable[Any]]) -> None:
    """Refuse a mailbox at an address that nothing may connect to. Raises MailboxError, OSError."""
    for address in list_addresses():
        if objection := INSIDE.find_objection(settings.host, str(address[0]), settings.server_port):
            text = f"{settings.host}:{settings.server_port} is not called: {objection}"
            raise MailboxError(text, needs_operator=True, trouble=FORBIDDEN_ADDRESS)


def _answer_challenges(username: str, token: str) -> Callable[[bytes], str]:
    """Return what answers challenges of XOAUTH2: first the token, then nothing to one that holds an error."""
    answers = iter([f"user={username}\x01auth=Bearer {token}\x01\x01"])
    return lambda _: next(answers, "")


def _refuse_log_in(settings: BounceMailbox, reply: str, *, is_by_token: bool) -> MailboxError:
    at = f"{settings.host}:{settings.server_port}"
    trouble = ProviderTrouble(
        code="bounce_log_in",
        zh=f"退信邮箱 {at} 拒绝 {settings.username} 登录（{reply}）。",
        en=f"The bounce mailbox {at} refuses the log-in of {settings.username} ({reply}).",
        remedy_zh="请核对用户名和密码；QQ、163 等邮箱的密码是授权码，须先在邮箱设置中开启 IMAP 服务。",
        remedy_en="Correct the name and the password; at QQ and NetEase it is an authorization code, and IMAP has to "
        "be on.",
    )
    text = (
        f"{at} refuses the log-in of {settings.username}: {reply}; correct {settings.variable('username')} and "
        f"…__PASSWORD ({CODE_HINT})"
    )
    if is_by_token:
        remedy = find_remedy(reply, settings.username)
        trouble = trouble.model_copy(update={"remedy_zh": remedy.zh, "remedy_en": remedy.en})
        text = f"{at} refuses the token of {settings.username}: {reply}. {remedy.en.removesuffix('.')}"
    return MailboxError(text, needs_operator=True, trouble=trouble, is_log_in=True)


def make_tls_context(settings: BounceMailbox) -> ssl.SSLContext | None:
    """Return the TLS context of a mailbox; None where its security is none. Raises StartError."""
    if settings.protection == "none":
        return None
    context = ssl.create_default_context()
    if settings.ca_file is not None:
        _load_authorities(context, settings.ca_file, settings.variable("ca_file"))
    return context


def _load_authorities(context: ssl.SSLContext, file: Path, name: str) -> None:
    try:
        context.load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise StartError("{0} names {1}, which holds no certificates in PEM form ({2}).", name, file, error) from error


@contextlib.contextmanager
def _translate_errors(settings: BounceMailbox) -> Iterator[None]:
    """Raise MailboxError in place of the library's errors."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise MailboxError(
            f"the certificate of {settings.host} is not trusted ({error.verify_message}); correct the host, or give "
            f"its authority by {settings.variable('ca_file')}",
            needs_operator=True,
        ) from error
    except (OSError, IMAPClientError, ValueError, EOFError) as error:
        reason = _describe(error)
        raise MailboxError(
            f"{settings.host}:{settings.server_port} does not answer as it should: {reason}", needs_operator=False
        ) from error


def _describe(error: BaseException) -> str:
    """Return the text of an error; the library writes the server's bytes as `b'…'`."""
    text = str(error) or type(error).__name__
    return re.sub(r"b'([^']*)'", r"\1", text)[:MAX_SHOWN_CHARACTERS]
