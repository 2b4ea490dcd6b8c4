"""Reads a raw mail (RFC 5322, MIME) into what its recipient would see."""

import hashlib
from email import message_from_bytes, policy
from email.message import EmailMessage

from imsg_sandbox.inbox import Contents, File


def read(raw: bytes) -> Contents:
    """Read subject, bodies and attachments; a part that is broken shows as it can be read, nothing raises."""
    mail = message_from_bytes(raw, policy=policy.default)
    return Contents(
        subject=_header(mail, "subject"),
        text=_body(mail, "plain"),
        html=_body(mail, "html"),
        attachments=tuple(_file(part) for part in mail.iter_attachments() if isinstance(part, EmailMessage)),
        message_id=_header(mail, "message-id"),
    )


def _header(mail: EmailMessage, name: str) -> str | None:
    value = mail.get(name)
    return None if value is None else str(value)


def _body(mail: EmailMessage, kind: str) -> str | None:
    """Return a body with plain line ends, without the line end that MIME puts after the last line."""
    part = mail.get_body((kind,))
    if part is None:
        return None
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return None
    charset = part.get_content_charset("utf-8")
    try:
        text = payload.decode(charset, "replace")
    except LookupError:
        text = payload.decode("utf-8", "replace")
    return text.replace("\r\n", "\n").removesuffix("\n")


def _file(part: EmailMessage) -> File:
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else part.as_bytes()
    return File(part.get_filename() or "", len(content), hashlib.sha256(content).hexdigest())
