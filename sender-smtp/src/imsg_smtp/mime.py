"""A request as a mail: everything its recipients share rendered once, the few lines of each put in front.

Building a mail costs several times what sending it does, so nothing but `To` and `Message-ID` is made per
recipient. All output is 7-bit ASCII in lines of at most 998 octets (RFC 5322, 2045), whatever the content.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from textwrap import wrap
from urllib.parse import quote

from imsg_contract.wire import message_id
from imsg_smtp.senders import Sender

CRLF = b"\r\n"

MAX_LINE_OCTETS = 998
"""RFC 5322, section 2.1.1, without the line's end."""

BASE64_LINE_OCTETS = 76
"""RFC 2045, section 6.8."""

HEADER_LINE_CHARACTERS = 60
"""Of free text on a line of a header: with the header's name below 76, as RFC 2047, section 2, wants."""

WORD_OCTETS = 39
"""Of UTF-8 in one encoded word, which then has 64 characters; at most 75 are allowed."""

PARAMETER_PIECE_CHARACTERS = 60
"""How much of a file name stands on one line: RFC 2231, section 3, continues it on the next."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to attach."""

    filename: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class MailContent:
    """What a mail says. Text alone, HTML alone, or the same thing in both."""

    subject: str
    text: str
    html: str | None = None
    files: Sequence[File] = ()
    feedback_id: str = ""
    """What Gmail counts complaints by, fields parted by colons; empty: it does not."""
    reply_to: Sender | None = None


@dataclass(frozen=True, slots=True)
class ReturnPath:
    """The envelope sender of a mail, to which bounces go."""

    address: str
    """The envelope sender, `b+TOKEN@DOMAIN`."""
    envelope_id: str
    """RFC 3461's ENVID: letters and digits, which xtext leaves as they are."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail, ready for the wire."""

    sender: str
    recipient: str
    message_id: str
    head: bytes
    """All header lines, each with its line end."""
    body: bytes
    """The empty line, then the body in lines, dots doubled as RFC 5321, section 4.5.2, wants it on the wire."""
    size: int
    """Octets of the message as RFC 1870 counts them: with line ends, without doubled dots and the final one."""
    name: tuple[str, int] = ("", 0)
    """The message that it is: request and number."""
    needs_utf8: bool = False
    """Whether every server on the way has to accept an address that is not ASCII (RFC 6531)."""
    return_path: ReturnPath | None = None
    """None: the envelope sender is the sender, and bounces go there."""


Sign = Callable[[bytes], bytes]
"""Makes the signatures of a mail from its header lines: header lines themselves, which stand before them."""

BeginSigning = Callable[[str, bytes, int], Sign | None]
"""Makes a Sign of the sender's domain, the body (in lines, no dots doubled) and the time in Unix seconds."""

SignName = Callable[[str, int], str]
"""Makes the signed name of a message, of its request and number: `REQUEST-N.MAC`."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Rendered:
    """What all mails of a request share."""

    sender: Sender
    request: str
    head: bytes
    body: bytes
    size: int
    sign: Sign | None = None
    unsubscribe: Callable[[str], bytes] | None = None
    """Makes the unsubscribe headers of an address; None: the mail has none."""
    sign_name: SignName | None = None
    """None: nothing that comes back is found by its name."""

    def address_to(self, n: int, address: str) -> Mail:
        """Make the mail of recipient `n`; `address` is a normal form, so it can hold neither blank nor line end."""
        name = message_id(self.request, n) if self.sign_name is None else self.sign_name(self.request, n)
        identity = f"<{name}@{self.sender.domain}>"
        own = f"To: {address}\r\nMessage-ID: {identity}\r\n".encode()
        if self.sign_name is not None:  # some relays write a Message-ID of their own, such as QQ
            own += f"X-IMSG-Id: {name}\r\n".encode()
        if self.unsubscribe is not None:
            own += self.unsubscribe(address)
        if self.sign is not None:
            own = self.sign(own + self.head) + own
        head, size = own + self.head, len(own) + self.size
        name_of = self.request, n
        return Mail(self.sender.address, address, identity, head, self.body, size, name_of, not address.isascii())


def render(
    content: MailContent,
    sender: Sender,
    request: str,
    accepted_at: datetime,
    begin_signing: BeginSigning | None = None,
    *,
    unsubscribe: Callable[[str], bytes] | None = None,
    sign_name: SignName | None = None,
) -> Rendered:
    """Render what the recipients of a request share; the same bytes whenever it is done again.

    Takes time in proportion to the files: 10 MiB some 50 ms, so large ones are for a thread.
    """
    head, body = _body(content, request)
    head = (
        _header("From", _mailbox(sender))
        + (_header("Reply-To", _mailbox(content.reply_to)) if content.reply_to is not None else b"")
        + _header("Subject", _encode_unstructured(content.subject))
        + _header("Date", _date(accepted_at.astimezone(UTC)))
        + _header("Auto-Submitted", "auto-generated")  # RFC 3834: no holiday answer, please
        + (_header("Feedback-ID", content.feedback_id) if content.feedback_id else b"")
        + _header("MIME-Version", "1.0")
        + head
    )
    body = CRLF + body + (b"" if body.endswith(CRLF) else CRLF)
    sign = begin_signing(sender.domain, body[len(CRLF) :], int(accepted_at.timestamp())) if begin_signing else None
    size = len(head) + len(body)
    return Rendered(sender, request, head, body.replace(b"\r\n.", b"\r\n.."), size, sign, unsubscribe, sign_name)


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _date(at: datetime) -> str:
    """Write a time in UTC by RFC 5322, section 3.3, as the library does in four times the time."""
    day = f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
    return f"{day} {at.hour:02}:{at.minute:02}:{at.second:02} +0000"


Part = tuple[bytes, bytes]
"""A MIME entity: its own header lines, and its body without the line end that a boundary brings along."""


def _body(content: MailContent, request: str) -> Part:
    """Nest the parts: mixed(alternative(text, html), files), each level only where there is more than one."""
    seed = hashlib.sha256(request.encode()).hexdigest()[:32]
    bodies = []
    if content.text or content.html is None:
        bodies.append(_text("plain", content.text))
    if content.html is not None:
        bodies.append(_text("html", content.html))
    body = bodies[0] if len(bodies) == 1 else _multipart("alternative", bodies, f"=_a_{seed}")
    if not content.files:
        return body
    return _multipart("mixed", [body, *(_attachment(file) for file in content.files)], f"=_m_{seed}")


def _multipart(subtype: str, parts: Sequence[Part], boundary: str) -> Part:
    """Put parts between boundaries. `=_` stands in no base64; the rest is not guessed before the request exists."""
    line = b"\r\n--" + boundary.encode()
    pieces: list[bytes] = []
    for head, body in parts:
        pieces += (line, CRLF, head, CRLF, body)
    pieces += (line, b"--", CRLF)
    return _header("Content-Type", f'multipart/{subtype};\r\n boundary="{boundary}"'), b"".join(pieces)[len(CRLF) :]


_PLAIN_TEXT = re.compile(r"[\t\r\n\x20-\x7e]*")

_LINE_END = re.compile(r"\r\n|\r|\n")


def _text(subtype: str, text: str) -> Part:
    """Write text as it is where it is short lines of ASCII, else in base64 of UTF-8; line ends become CRLF."""
    text = _LINE_END.sub("\r\n", text)
    is_plain = _PLAIN_TEXT.fullmatch(text) and max(map(len, text.split("\r\n"))) <= MAX_LINE_OCTETS
    charset = "us-ascii" if is_plain else "utf-8"
    kind = _header("Content-Type", f'text/{subtype}; charset="{charset}"')
    if is_plain:
        return kind + _header("Content-Transfer-Encoding", "7bit"), text.encode()
    return kind + _header("Content-Transfer-Encoding", "base64"), _base64(text.encode("utf-8", "replace"))


BASE64_BLOCK_OCTETS = 57 * 4_096
"""Encoded in one go: a whole number of lines, few enough that other threads wait below a millisecond for it."""


def _base64(data: bytes) -> bytes:
    lines: list[bytes] = []
    for start in range(0, len(data), BASE64_BLOCK_OCTETS):
        block = b64encode(data[start : start + BASE64_BLOCK_OCTETS])
        lines += (block[place : place + BASE64_LINE_OCTETS] for place in range(0, len(block), BASE64_LINE_OCTETS))
    return CRLF.join(lines)


_MEDIA_TYPE = re.compile(r"(?!multipart/|message/)[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}")
"""RFC 6838, section 4.2. Composite types may not be written in base64 (RFC 2045, section 6.4): as bytes they may."""


def _attachment(file: File) -> Part:
    kind = file.type.lower()
    if not _MEDIA_TYPE.fullmatch(kind):
        kind = "application/octet-stream"
    if kind.startswith("text/") and _is_utf8(file.data):
        kind += '; charset="utf-8"'  # without it clients show Chinese text as us-ascii
    head = (
        _header("Content-Type", ";\r\n ".join([kind, *_old_name(file.filename)]))
        + _header("Content-Disposition", ";\r\n ".join(["attachment", *_filename(file.filename)]))
        + _header("Content-Transfer-Encoding", "base64")
    )
    return head, _base64(file.data)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


_SIMPLE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()+,-]{0,59}(?<! )")

_UNFIT_IN_NAME = re.compile(r"[\x00-\x1f\x7f/\\]")


def _filename(name: str) -> Iterator[str]:
    """Write a file name as parameters: quoted if it is simple, else by RFC 2231 in as many pieces as it takes."""
    name = _UNFIT_IN_NAME.sub("_", name)
    if _SIMPLE_NAME.fullmatch(name):
        yield f'filename="{name}"'
        return
    pieces = _pieces([quote(character.encode("utf-8", "replace"), safe="") for character in name])
    if len(pieces) == 1:
        yield f"filename*=utf-8''{pieces[0]}"
        return
    for number, piece in enumerate(pieces):
        yield f"filename*{number}*=" + ("utf-8''" if number == 0 else "") + piece


def _old_name(name: str) -> Iterator[str]:
    """Write a name that is not simple once more as old readers know it: `name`, in encoded words inside quotes.

    RFC 2047, section 5, forbids them there, and still old Outlook, Foxmail and QQ show no other; whoever knows RFC 2231
    takes the file name of Content-Disposition.
    """
    name = _UNFIT_IN_NAME.sub("_", name)
    if not _SIMPLE_NAME.fullmatch(name):
        yield f'name="{_encode_words(name)}"'


def _pieces(characters: Sequence[str]) -> list[str]:
    """Join encoded characters into pieces that fit a line; none is torn, since some readers decode each by itself."""
    pieces = [""]
    for character in characters:
        if len(pieces[-1]) + len(character) > PARAMETER_PIECE_CHARACTERS:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _header(name: str, value: str) -> bytes:
    return f"{name}: {value}\r\n".encode("ascii")


_UNFIT_IN_HEADER = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]+")


def _encode_unstructured(text: str) -> str:
    """Write free text: as it is where it is ASCII, else in encoded words; folded to lines of at most 76 octets.

    A line end can't get in: the API refuses control characters, and here they become blanks.
    """
    text = _UNFIT_IN_HEADER.sub(" ", text)
    if "=?" in text or not _survives_folding(text):
        return _encode_words(text)
    return "\r\n ".join(wrap(text, HEADER_LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False))


def _survives_folding(text: str) -> bool:
    """Tell whether a text is ASCII words with single blanks between them: what can be folded without loss."""
    return text.isascii() and text.isprintable() and "  " not in text and text == text.strip(" ")


_UNQUOTED_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")


def _mailbox(sender: Sender) -> str:
    if not sender.name:
        return sender.address
    if "=?" in sender.name or not sender.name.isascii():
        return f"{_encode_words(sender.name)}\r\n <{sender.address}>"
    if _UNQUOTED_NAME.fullmatch(sender.name):
        return f"{sender.name} <{sender.address}>"
    quoted = re.sub(r'(["\\])', r"\\\1", sender.name)
    return f'"{quoted}" <{sender.address}>'


def _encode_words(text: str) -> str:
    """Write RFC 2047's words in base64, each of whole characters: readers decode every word by itself."""
    pieces = [b""]
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(pieces[-1]) + len(octets) > WORD_OCTETS:
            pieces.append(b"")
        pieces[-1] += octets
    return "\r\n ".join(f"=?utf-8?b?{b64encode(piece).decode()}?=" for piece in pieces)
