"""Reading a raw mail (RFC 5322, MIME) into the parts that its recipient sees."""

import hashlib
import re
from collections.abc import Iterator
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message

from imsg_sandbox.inbox import File, MessageContent

FOLD = re.compile(r"\r?\n(?=[ \t])")
"""A line end inside a header, which is not part of its text (RFC 5322, section 2.2.3)."""


def read(raw: bytes) -> MessageContent:
    """Read subject, bodies and attachments; broken mails are read as far as possible, and nothing is raised.

    It uses the standard library's older parser: the newer takes 2 ms a mail, and an inbox has thousands.
    """
    mail = message_from_bytes(raw)
    bodies: dict[str, str] = {}
    files: list[File] = []
    for part in _leaves(mail):
        kind = part.get_content_type()
        if kind in ("text/plain", "text/html") and kind not in bodies and not _is_file(part):
            bodies[kind] = _text(part)
        else:
            files.append(_file(part))
    return MessageContent(
        subject=_header(mail, "subject"),
        text=bodies.get("text/plain"),
        html=bodies.get("text/html"),
        attachments=tuple(files),
        message_id=_header(mail, "message-id"),
    )


def _leaves(part: Message) -> Iterator[Message]:
    """Yield the parts that are no multipart; a mail inside a mail is one part."""
    inner = part.get_payload() if part.get_content_maintype() == "multipart" else None
    if not isinstance(inner, list):
        yield part
        return
    for child in inner:
        if isinstance(child, Message):
            yield from _leaves(child)


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_filename() is not None


def _header(mail: Message, name: str) -> str | None:
    value = mail.get(name)
    return None if value is None else _decode(str(value))


def _decode(text: str) -> str:
    """Return a header's text without folding and encoded words (RFC 2047)."""
    text = FOLD.sub("", text)
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError):
        return text


def _text(part: Message) -> str:
    """Return a body with plain line ends, without the line end that MIME puts after the last line."""
    charset = part.get_content_charset("utf-8")
    try:
        text = _content(part).decode(charset, "replace")
    except LookupError:
        text = _content(part).decode("utf-8", "replace")
    return text.replace("\r\n", "\n").removesuffix("\n")


def _file(part: Message) -> File:
    content = _content(part)
    return File(_decode(part.get_filename() or ""), hashlib.sha256(content).hexdigest(), content)


def _content(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    inner = part.get_payload()
    return b"".join(mail.as_bytes() for mail in inner if isinstance(mail, Message)) if isinstance(inner, list) else b""
