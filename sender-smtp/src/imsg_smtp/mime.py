"""Renders a request as a mail: the shared part once, then the header lines of each recipient.

Building a mail costs several times as much as sending it, so only a few header lines are made for each recipient.
The output is 7-bit ASCII in lines of at most 998 octets (RFC 5322, RFC 2045), whatever the content.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap
from urllib.parse import quote

from imsg_contract.addresses import domain_of
from imsg_contract.wire import message_id
from imsg_smtp.senders import Sender

CRLF = b"\r\n"

MAX_LINE_OCTETS = 998
"""RFC 5322, section 2.1.1, without the line end."""

BASE64_LINE_OCTETS = 76
"""RFC 2045, section 6.8."""

HEADER_LINE_CHARACTERS = 60
"""Characters of free text on a header's line: with the header's name at most 76 (RFC 2047, section 2)."""

WORD_OCTETS = 39
"""Octets of UTF-8 in one encoded word, which then has 64 characters; RFC 2047 allows 75."""

PARAMETER_PIECE_CHARACTERS = 60
"""Characters of a file name on one line; RFC 2231, section 3, continues it on the next."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to attach."""

    filename: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class MailContent:
    """The content of a mail: text, HTML, or both as alternatives."""

    subject: str
    text: str
    html: str | None = None
    files: Sequence[File] = ()
    feedback_id: str = ""
    """Gmail's Feedback-ID: fields separated by colons; empty: no header."""
    reply_to: Sender | None = None


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """The envelope sender of a mail, to which bounces go."""

    address: str
    """The envelope sender, `b+TOKEN@DOMAIN`."""
    envelope_id: str
    """RFC 3461's ENVID: letters and digits, which need no xtext encoding."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, ready for the wire."""

    sender: str
    recipient: str
    recipient_domain: str
    domains: str
    """The sender's and the recipient's: `example.com to qq.com`."""
    message_id: str
    head: bytes
    """All header lines with their line ends."""
    body: bytes
    """The empty line and the body, with dots stuffed (RFC 5321, section 4.5.2)."""
    size: int
    """Octets of the message by RFC 1870: with line ends, without stuffed dots and the final dot."""
    name: tuple[str, int] = ("", 0)
    """The message's name: request and number."""
    needs_utf8: bool = False
    """Whether the recipient's address is not ASCII, so that servers must support SMTPUTF8 (RFC 6531)."""
    return_path: ReturnPath | None = None
    """None: the envelope sender is the sender, and bounces go there."""


Sign = Callable[[bytes], bytes]
"""Header lines of a mail → its signatures, as header lines that precede them."""

BeginSigning = Callable[[str, bytes, int], Sign | None]
"""Sender's domain, body (dots not stuffed), time (Unix, seconds) → a Sign; None where the domain has no key."""

SignName = Callable[[str, int], str]
"""Request, number → the message's signed name, `REQUEST-N.MAC`."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Rendering:
    """The part that all mails of a request share."""

    sender: Sender
    request: str
    head: bytes
    body: bytes
    size: int
    sign: Sign | None = None
    unsubscribe: Callable[[str], bytes] | None = None
    """Returns the unsubscribe headers of an address; None: the mail has none."""
    sign_name: SignName | None = None
    """None: names are not signed, so no bounce is found by them."""
    files: Sequence[File] = ()
    """Kept as long as this is, for other renderings of the request."""

    def make_mail(self, n: int, address: str, display_name: str = "") -> Mail:
        """Make the mail of recipient `n`; `address` is in normal form, so it contains neither blank nor line end."""
        name = message_id(self.request, n) if self.sign_name is None else self.sign_name(self.request, n)
        domain, recipient_domain = self.sender.domain, domain_of(address)
        identity = f"<{name}@{domain}>"
        own = f"To: {_format_mailbox(display_name, address)}\r\nMessage-ID: {identity}\r\n".encode()
        if self.sign_name is not None:  # some relays, such as QQ's, replace the Message-ID
            own += f"X-IMSG-Id: {name}\r\n".encode()
        if self.unsubscribe is not None:
            own += self.unsubscribe(address)
        if self.sign is not None:
            own = self.sign(own + self.head) + own
        head, size = own + self.head, len(own) + self.size
        return Mail(
            self.sender.address,
            address,
            recipient_domain,
            f"{domain} to {recipient_domain}",
            identity,
            head,
            self.body,
            size,
            (self.request, n),
            not address.isascii(),
        )


def render(
    content: MailContent,
    sender: Sender,
    request: str,
    accepted_at: datetime,
    begin_signing: BeginSigning | None = None,
    *,
    unsubscribe: Callable[[str], bytes] | None = None,
    sign_name: SignName | None = None,
) -> Rendering:
    """Render the shared part of a request's mails; the same input gives the same bytes.

    The time is linear in the size, some 50 ms for 10 MiB: render large files in a thread.
    """
    head, body = _make_body(content, request)
    head = (
        _format_header("From", _format_mailbox(sender.name, sender.address))
        + (
            _format_header("Reply-To", _format_mailbox(content.reply_to.name, content.reply_to.address))
            if content.reply_to is not None
            else b""
        )
        + _format_header("Subject", _encode_unstructured(content.subject))
        + _format_header("Date", _format_date(accepted_at.astimezone(UTC)))
        + _format_header("Auto-Submitted", "auto-generated")  # RFC 3834: suppresses automatic replies
        + (_format_header("Feedback-ID", content.feedback_id) if content.feedback_id else b"")
        + _format_header("MIME-Version", "1.0")
        + head
    )
    body = CRLF + body + (b"" if body.endswith(CRLF) else CRLF)
    sign = begin_signing(sender.domain, body[len(CRLF) :], int(accepted_at.timestamp())) if begin_signing else None
    size = len(head) + len(body)
    body = body.replace(b"\r\n.", b"\r\n..")
    return Rendering(sender, request, head, body, size, sign, unsubscribe, sign_name, content.files)


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _format_date(at: datetime) -> str:
    """Format a time in UTC by RFC 5322, section 3.3, four times as fast as `email.utils`."""
    day = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
    return f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} +0000"


Part = tuple[bytes, bytes]
"""A MIME entity: its header lines, and its body without the line end that belongs to the boundary."""


def _make_body(content: MailContent, request: str) -> Part:
    """Nest the parts: mixed(alternative(text, html), files), each level only if it has several parts."""
    seed = hashlib.sha256(request.encode()).hexdigest()[:32]
    bodies = []
    if content.text or content.html is None:
        bodies.append(_make_text_part("plain", content.text))
    if content.html is not None:
        bodies.append(_make_text_part("html", content.html))
    body = bodies[0] if len(bodies) == 1 else _make_multipart("alternative", bodies, f"=_a_{seed}")
    if not content.files:
        return body
    return _make_multipart("mixed", [body, *(_make_attachment(file) for file in content.files)], f"=_m_{seed}")


def _make_multipart(subtype: str, parts: Sequence[Part], boundary: str) -> Part:
    """Join parts by a boundary: `=_` does not occur in base64, and the rest can't be guessed before the request."""
    line = b"\r\n--" + boundary.encode()
    pieces: list[bytes] = []
    for head, body in parts:
        pieces += (line, CRLF, head, CRLF, body)
    pieces += (line, b"--", CRLF)
    return _format_header("Content-Type", f'multipart/{subtype};\r\n boundary="{boundary}"'), b"".join(pieces)[
        len(CRLF) :
    ]


_PLAIN_TEXT = re.compile(r"[\t\r\n\x20-\x7e]*")

_LINE_END = re.compile(r"\r\n|\r|\n")


def _make_text_part(subtype: str, text: str) -> Part:
    """Encode text as 7bit if it is short lines of ASCII, else as base64 of UTF-8; line ends become CRLF."""
    text = _LINE_END.sub("\r\n", text)
    is_plain = _PLAIN_TEXT.fullmatch(text) and max(map(len, text.split("\r\n"))) <= MAX_LINE_OCTETS
    charset = "us-ascii" if is_plain else "utf-8"
    kind = _format_header("Content-Type", f'text/{subtype}; charset="{charset}"')
    if is_plain:
        return kind + _format_header("Content-Transfer-Encoding", "7bit"), text.encode()
    return kind + _format_header("Content-Transfer-Encoding", "base64"), _encode_base64(text.encode("utf-8", "replace"))


BASE64_BLOCK_OCTETS = 57 * 4_096
"""Octets encoded in one call: whole lines, few enough that other threads wait less than a millisecond."""


def _encode_base64(data: bytes) -> bytes:
    lines: list[bytes] = []
    for start in range(0, len(data), BASE64_BLOCK_OCTETS):
        block = b64encode(data[start : start + BASE64_BLOCK_OCTETS])
        lines += (block[place : place + BASE64_LINE_OCTETS] for place in range(0, len(block), BASE64_LINE_OCTETS))
    return CRLF.join(lines)


_MEDIA_TYPE = re.compile(r"(?!multipart/|message/)[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
"""RFC 6838, section 4.2, without composite types, which may not be base64 (RFC 2045, section 6.4)."""


def _make_attachment(file: File) -> Part:
    kind = file.type.lower()
    if not _MEDIA_TYPE.fullmatch(kind):
        kind = "application/octet-stream"
    if kind.startswith("text/") and _is_utf8(file.data):
        kind += '; charset="utf-8"'  # without it clients show Chinese text as us-ascii
    head = (
        _format_header("Content-Type", ";\r\n ".join([kind, *_format_legacy_name(file.filename)]))
        + _format_header("Content-Disposition", ";\r\n ".join(["attachment", *_format_filename(file.filename)]))
        + _format_header("Content-Transfer-Encoding", "base64")
    )
    return head, _encode_base64(file.data)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


_SIMPLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()+,-]{0,59}(?<! )")

_UNFIT_IN_NAME = re.compile(r"[\x00-\x1f\x7f/\\]")


def _format_filename(name: str) -> Iterator[str]:
    """Yield a file name as parameters: quoted if it is simple, else by RFC 2231 in one or more pieces."""
    name = _UNFIT_IN_NAME.sub("_", name)
    if _SIMPLE_NAME.fullmatch(name):
        yield f'filename="{name}"'
        return
    pieces = _join_pieces([quote(character.encode("utf-8", "replace"), safe="") for character in name])
    if len(pieces) == 1:
        yield f"filename*=utf-8''{pieces[0]}"
        return
    for number, piece in enumerate(pieces):
        yield f"filename*{number}*=" + ("utf-8''" if number == 0 else "") + piece


def _format_legacy_name(name: str) -> Iterator[str]:
    """Yield a file name that is not simple as the parameter `name`, with encoded words in quotes.

    RFC 2047, section 5, forbids that, but old versions of Outlook, Foxmail and QQ show no other form. Clients that
    support RFC 2231 use the file name in Content-Disposition.
    """
    name = _UNFIT_IN_NAME.sub("_", name)
    if not _SIMPLE_NAME.fullmatch(name):
        yield f'name="{_encode_words(name)}"'


def _join_pieces(characters: Sequence[str]) -> list[str]:
    """Join encoded characters into pieces that fit a line; some clients decode each piece by itself."""
    pieces = [""]
    for character in characters:
        if len(pieces[-1]) + len(character) > PARAMETER_PIECE_CHARACTERS:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _format_header(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode("ascii")


_UNFIT_IN_HEADER = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")


def _encode_unstructured(text: str) -> str:
    """Encode free text as ASCII or in encoded words, folded to lines of at most 76 octets.

    Control characters, which the API refuses, become blanks, so that no text can add a header.
    """
    text = _UNFIT_IN_HEADER.sub(" ", text)
    if "=?" in text or not _survives_folding(text):
        return _encode_words(text)
    return "\r\n ".join(wrap(text, HEADER_LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False))


def _survives_folding(text: str) -> bool:
    """Return whether a text is ASCII words with single blanks between them, which can be folded without loss."""
    return text.isascii() and text.isprintable() and "  " not in text and text == text.strip(" ")


_UNQUOTED_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def _format_mailbox(name: str, address: str) -> str:
    if not name:
        return address
    if "=?" in name or not name.isascii():
        return f"{_encode_words(name)}\r\n <{address}>"
    if _UNQUOTED_NAME.fullmatch(name):
        return f"{name} <{address}>"
    quoted = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{quoted}" <{address}>'


def _encode_words(text: str) -> str:
    """Encode text as RFC 2047's words in base64, each of whole characters: clients decode every word by itself."""
    pieces = [b""]
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(pieces[-1]) + len(octets) > WORD_OCTETS:
            pieces.append(b"")
        pieces[-1] += octets
    return "\r\n ".join(f"=?utf-8?b?{b64encode(piece).decode()}?=" for piece in pieces)
