"""Finds the identifiers in a bounce: tokens of the envelope, and signed names of the returned mail.

Only the returned mail's own name counts. A person's reply to a mail of iMSG names that mail in `References`, and may
bounce itself.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from imsg_smtp.bounces.bounce_token import PREFIX, SIGNED_NAME
from imsg_smtp.bounces.mime_parts import Part, read_blocks, read_head

STATUS_PARTS = frozenset(("message/delivery-status", "message/global-delivery-status"))
"""RFC 3464, RFC 6533."""

FEEDBACK_PART = "message/feedback-report"
"""RFC 5965."""

_RETURNED_PARTS = frozenset(
    ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global", "message/global-headers")
)

_RECIPIENT_HEADERS = (
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-delivered-to",
    "apparently-to",
    "to",
    "cc",
    "resent-to",
)

_TOKEN = re.compile(r"(?<![a-z0-9+])(b\+[a-z2-7]{45})(?=@)", re.IGNORECASE | re.ASCII)
_BARE_TOKEN = re.compile(r"(?:b\+|b\+2b)?([a-z2-7]{45})", re.IGNORECASE | re.ASCII)
"""A token in ENVID, with or without the xtext encoding of `+` (RFC 3461, 4)."""


def find_tokens(mail: Part, parts: Sequence[Part], rcpt: Iterable[str]) -> Iterator[str]:
    """Yield candidates for tokens as local parts: from the envelope and headers first, then from the returned mail."""
    for address in rcpt:
        yield from _TOKEN.findall(address if "@" in address else f"{address}@")
    for name in _RECIPIENT_HEADERS:
        for value in mail.values(name):
            yield from _TOKEN.findall(value)
    for part in parts:
        if part.type in STATUS_PARTS:
            yield from _tokens_in_fields(part, "original-envelope-id", _BARE_TOKEN)
        elif part.type == FEEDBACK_PART:
            yield from _tokens_in_fields(part, "original-mail-from", _TOKEN)
        elif _is_returned(part):
            for name, value in _read_returned_head(part):
                if name == "return-path":
                    yield from _TOKEN.findall(value)


SIGNED_HEADER = "x-imsg-id"

_BOUNCE_HEADERS = ("x-cm-original-message-id", "x-original-message-id", "in-reply-to")
"""Headers of a bounce that contain the Message-ID of the returned mail: Coremail's (NetEase), Google's, Exchange's."""

_NAME = re.compile(SIGNED_NAME, re.IGNORECASE | re.ASCII)

_LABELLED = re.compile(
    rf"(?<![\w-])({SIGNED_HEADER}|message-id)\s{{0,8}}:(?:\s|<|&lt;|&nbsp;){{0,12}}({SIGNED_NAME})?",
    re.IGNORECASE | re.ASCII,
)
"""A header of the returned mail inside the text for people (qmail, QQ, Exchange)."""

_TAG = re.compile(r"</?[a-z][^<>@]{0,400}>", re.IGNORECASE)

MAX_TEXT = 128 * 1024


def find_names(mail: Part, parts: Sequence[Part]) -> Iterator[str]:
    """Yield candidates for the signed name of the returned mail: its signed header first, then its Message-ID."""
    returned = next((head for part in parts if _is_returned(part) and (head := _read_returned_head(part))), ())
    yield from _names_in(returned, SIGNED_HEADER)
    yield from _names_in(returned, "message-id")
    if any(name == "message-id" for name, _ in returned):
        return
    for part in parts:
        if part.type in STATUS_PARTS:
            for fields in read_blocks(part.octets):
                yield from _names_in(fields.items(), "x-original-message-id")
    for header in _BOUNCE_HEADERS:
        yield from _names_in(mail.headers, header)
    yield from _names_in((("last", value.rpartition("<")[2]) for value in mail.values("references")), "last")
    for part in parts:
        if part.type.startswith("text/"):
            yield from _names_in_text(part)


def _names_in(headers: Iterable[tuple[str, str]], header: str) -> Iterator[str]:
    for name, value in headers:
        if name == header:
            yield from _NAME.findall(value)[:1]


def _is_returned(part: Part) -> bool:
    """Return whether a part is the returned mail or its headers; QQ and others attach it as a file."""
    return part.type in _RETURNED_PARTS or any(
        ".eml" in part.value(header).lower() for header in ("content-type", "content-disposition")
    )


def _read_returned_head(part: Part) -> Sequence[tuple[str, str]]:
    return read_head(part.octets.lstrip(b"\n"))


def _names_in_text(part: Part) -> Iterator[str]:
    """Yield the signed headers in a text, then its first Message-ID: later ones are of mails that it quotes."""
    text = part.text[:MAX_TEXT]
    headers = _LABELLED.findall(text if part.type == "text/plain" else _TAG.sub(" ", text))
    yield from (name for label, name in headers if name and label.lower() == SIGNED_HEADER)
    first = next((name for label, name in headers if label.lower() == "message-id"), "")
    if first:
        yield first


def _tokens_in_fields(part: Part, name: str, pattern: re.Pattern[str]) -> Iterator[str]:
    for fields in read_blocks(part.octets):
        yield from (PREFIX + token[-45:] for token in pattern.findall(fields.get(name, "")))
