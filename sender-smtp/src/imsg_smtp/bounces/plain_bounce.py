"""Bounces that are no delivery reports: what servers wrote before RFC 3464, and some still do, as flufl.bounce knows.

It tells whether there is a bounce and whether it is for good, and no status: that is looked for in the text.
"""

import html
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message

from imsg_runtime.logs import logger
from imsg_smtp.bounces.mime_parts import Part, decode_words
from imsg_smtp.unknown_users import names_unknown_user

log = logger(__name__)

MAX_LINES = 150
MAX_LINE = 200
"""Characters. The library's patterns go back over a line, so that their time is that of the line squared."""

_HEADERS = ("from", "subject", "x-failed-recipients", "x-mailer", "return-path", "to")

BOUNCES = (
    "退信",
    "无法送达",
    "undeliver",
    "returned mail",
    "failure notice",
    "delivery status notification",
    "mail delivery",
    "delivery fail",
)
"""What subjects of bounces hold, in small letters, where a postmaster writes: QQ, NetEase and Coremail among them."""

FINAL = ("退信", "无法送达", "undeliver", "returned mail", "failure notice", "returning message", "(failure)")
"""Those of mail that is not tried any more; the others may tell of a delay."""

_TAG = re.compile(r"<[^<>]{0,200}>")

_STATUS = re.compile(r"(?<![\d.])(5\d\d[ -]#?(?:5\.\d{1,3}\.\d{1,3}|[^\d\s]).*|#?5\.\d{1,3}\.\d{1,3}(?![\d.]).*)")
"""A line of a reply with its code, or the status of one. Both begin at digits, and no line is longer than MAX_LINE."""


_HASH = re.compile(r"(?<!\()#(?=5\.\d)")
"""Before a status that some write so; qmail's, in brackets at the end, is read with it."""


@dataclass(frozen=True, slots=True)
class PlainBounce:
    """What is known of a bounce without a delivery report."""

    is_bounce: bool = False
    is_permanent: bool = False
    text: str = ""
    """The server's words, from its code on, or the sentence that names an unknown user; empty where none is found."""


def read_plain_bounce(mail: Part, parts: Sequence[Part]) -> PlainBounce:
    """Tell whether a mail is a bounce by its sender, subject and text."""
    from flufl.bounce import all_failures  # noqa: PLC0415  few bounces are none of RFC 3464, and it costs 2 MiB

    logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)  # what it logs, it raises too
    lines = _lines(parts)
    try:
        temporary, permanent = all_failures(_rebuild(mail, lines))
    except Exception as error:  # noqa: BLE001  its detectors expect what a mail has, and this is anybody's
        log.warning("bounce_not_detected", why=type(error).__name__)
        temporary = permanent = frozenset()
    words = _find_words(lines)
    if temporary or permanent:
        return PlainBounce(is_bounce=True, is_permanent=bool(permanent), text=words)
    if not (is_from_postmaster(mail) and has_bounce_subject(mail)):
        return PlainBounce()
    subject = decode_words(mail.value("subject")).lower()
    is_final = bool(words) or any(word in subject for word in FINAL)
    return PlainBounce(is_bounce=True, is_permanent=is_final, text=words)


WRITERS = ("mailer-daemon", "postmaster", "mail delivery system", "mail delivery subsystem", "mdaemon")
"""Names that servers write by, in small letters."""


def is_from_postmaster(mail: Part) -> bool:
    """Tell whether a mail server wrote it: by an empty envelope sender, by a server's name, or by its own words."""
    if mail.value("return-path").strip() == "<>" or mail.value("x-failed-recipients"):
        return True
    if any(name in decode_words(mail.value("from")).lower() for name in WRITERS):
        return True
    return mail.value("auto-submitted").lower().startswith("auto-generated") and has_bounce_subject(mail)


def has_bounce_subject(mail: Part) -> bool:
    """Tell whether its subject is that of a bounce."""
    subject = decode_words(mail.value("subject")).lower()
    return any(word in subject for word in BOUNCES)


def _lines(parts: Sequence[Part]) -> list[str]:
    """Return the text's lines, each of a bounded length; those of HTML where there is nothing else."""
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


def _rebuild(mail: Part, lines: Sequence[str]) -> Message:
    """Make a plain mail of what the library looks at: nothing nested, no line that is long."""
    message = Message()
    for name in _HEADERS:
        for value in mail.values(name)[:3]:
            message[name] = value[:MAX_LINE].encode("ascii", "replace").decode()
    if message["from"] is None:
        message["from"] = "nobody@invalid"  # some look at it, come what may
    message["content-type"] = "text/plain"
    message.set_payload("\n".join(lines))
    return message


def find_words(parts: Sequence[Part]) -> str:
    """Return what a page for people has of the server's words; empty where none is found."""
    return _find_words(_lines(parts))


def _find_words(lines: Sequence[str]) -> str:
    for line in lines:
        if found := _STATUS.search(line):
            is_in_brackets = line[: found.start()].endswith("(")  # qmail's own: its words stand before
            return line.strip() if is_in_brackets else _HASH.sub("", found[1])
    return next((line.strip() for line in lines if names_unknown_user(line)), "")
