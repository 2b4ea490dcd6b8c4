"""Recognizes bounces without a delivery report (RFC 3464), by flufl.bounce, the sender and the subject.

flufl.bounce decides whether a mail is a bounce and whether it is permanent. The status is searched for in the text.
"""

import html
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message

from flufl.bounce import all_failures

from imsg_runtime.logs import logger
from imsg_smtp.bounces.mime_parts import Part, decode_words
from imsg_smtp.unknown_users import names_unknown_user

log = logger(__name__)

MAX_LINES = 150
MAX_LINE = 200
"""Characters of a line: the time of the library's patterns is quadratic in it."""

_HEADERS = ("from", "subject", "x-failed-recipients", "x-mailer", "return-path", "to")

BOUNCE_SUBJECTS = (
    "退信",
    "无法送达",
    "undeliver",
    "returned mail",
    "failure notice",
    "delivery status notification",
    "mail delivery",
    "delivery fail",
)
"""Parts of a bounce's subject in lower case, where a postmaster wrote the mail; QQ's, NetEase's, Coremail's too."""

FINAL_SUBJECTS = ("退信", "无法送达", "undeliver", "returned mail", "failure notice", "returning message", "(failure)")
"""Parts of a permanent bounce's subject; with the others the mail may only be delayed."""

_TAG = re.compile(r"<[^<>]{0,200}>")

_STATUS = re.compile(r"(?<![\d.])(5\d\d[ -]#?(?:5\.\d{1,3}\.\d{1,3}|[^\d\s]).*|#?5\.\d{1,3}\.\d{1,3}(?![\d.]).*)")
"""A reply with its code, or an enhanced status with the text behind it, in a line of at most MAX_LINE characters."""


_HASH = re.compile(r"(?<!\()#(?=5\.\d)")
"""The `#` that some servers write before a status; in qmail's `(#5.1.1)` it stays."""


@dataclass(frozen=True, slots=True)
class PlainBounce:
    """The result for a mail without a delivery report."""

    is_bounce: bool = False
    is_permanent: bool = False
    text: str = ""
    """The server's reply from its code on, or the sentence about an unknown user; empty where neither is found."""


def read_plain_bounce(mail: Part, parts: Sequence[Part]) -> PlainBounce:
    """Decide whether a mail is a bounce, and a permanent one, by its sender, subject and text."""
    logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)  # it raises everything that it logs
    lines = _read_lines(parts)
    try:
        temporary, permanent = all_failures(_make_flat_message(mail, lines))
    except Exception as error:  # noqa: BLE001  its detectors fail on malformed mail, in any way
        log.warning("bounce_not_detected", why=type(error).__name__)
        temporary = permanent = frozenset()
    text = _find_reply_text(lines)
    if temporary or permanent:
        return PlainBounce(is_bounce=True, is_permanent=bool(permanent), text=text)
    if not (is_from_postmaster(mail) and has_bounce_subject(mail)):
        return PlainBounce()
    subject = decode_words(mail.value("subject")).lower()
    is_final = bool(text) or any(word in subject for word in FINAL_SUBJECTS)
    return PlainBounce(is_bounce=True, is_permanent=is_final, text=text)


POSTMASTER_NAMES = ("mailer-daemon", "postmaster", "mail delivery system", "mail delivery subsystem", "mdaemon")
"""Parts of the From header of mail servers, in lower case."""


def is_from_postmaster(mail: Part) -> bool:
    """Return whether a mail server wrote a mail: by its null sender, its From, or its headers and subject."""
    if mail.value("return-path").strip() == "<>" or mail.value("x-failed-recipients"):
        return True
    if any(name in decode_words(mail.value("from")).lower() for name in POSTMASTER_NAMES):
        return True
    return mail.value("auto-submitted").lower().startswith("auto-generated") and has_bounce_subject(mail)


def has_bounce_subject(mail: Part) -> bool:
    """Return whether the subject of a mail is that of a bounce."""
    subject = decode_words(mail.value("subject")).lower()
    return any(word in subject for word in BOUNCE_SUBJECTS)


def _read_lines(parts: Sequence[Part]) -> list[str]:
    """Return the lines of the plain text, else of the HTML; at most MAX_LINES, of at most MAX_LINE characters."""
    for kind in ("text/plain", "text/html"):
        lines: list[str] = []
        for part in parts:
            if part.type == kind and len(lines) < MAX_LINES:
                text = part.text[: MAX_LINES * MAX_LINE]
                text = text if kind == "text/plain" else html.unescape(_TAG.sub("\n", text)).replace("\xa0", " ")
                lines += (line[:MAX_LINE] for line in text.split("\n")[: MAX_LINES - len(lines)])
        if lines:
            return lines
    return []


def _make_flat_message(mail: Part, lines: Sequence[str]) -> Message:
    """Make a mail without MIME parts from the headers and lines that the library reads."""
    message = Message()
    for name in _HEADERS:
        for value in mail.values(name)[:3]:
            message[name] = value[:MAX_LINE].encode("ascii", "replace").decode()
    if message["from"] is None:
        message["from"] = "nobody@invalid"  # some detectors fail without it
    message["content-type"] = "text/plain"
    message.set_payload("\n".join(lines))
    return message


def find_reply_text(parts: Sequence[Part]) -> str:
    """Return the server's reply quoted in the text for people; empty where none is found."""
    return _find_reply_text(_read_lines(parts))


def _find_reply_text(lines: Sequence[str]) -> str:
    for line in lines:
        if match := _STATUS.search(line):
            is_in_brackets = line[: match.start()].endswith("(")  # qmail writes the text before the status
            return line.strip() if is_in_brackets else _HASH.sub("", match[1])
    return next((line.strip() for line in lines if names_unknown_user(line)), "")
