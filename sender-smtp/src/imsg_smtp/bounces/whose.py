"""Where in a mail that came back the token stands by which it finds its message."""

import re
from collections.abc import Iterable, Iterator, Sequence

from imsg_smtp.bounces.parts import Part, read_blocks, read_head
from imsg_smtp.bounces.token import PREFIX

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
"""As ENVID has it, whoever has undone its xtext or not."""


def find_tokens(mail: Part, parts: Sequence[Part], rcpt: Iterable[str]) -> Iterator[str]:
    """Yield what may be tokens, as local parts: the way here tells first, what comes back with the mail last."""
    for address in rcpt:
        yield from _TOKEN.findall(address if "@" in address else f"{address}@")
    for name in _RECIPIENT_HEADERS:
        for value in mail.values(name):
            yield from _TOKEN.findall(value)
    for part in parts:
        if part.type in STATUS_PARTS:
            yield from _in_fields(part, "original-envelope-id", _BARE_TOKEN)
        elif part.type == FEEDBACK_PART:
            yield from _in_fields(part, "original-mail-from", _TOKEN)
        elif part.type in _RETURNED_PARTS:
            paths = (value for name, value in read_head(part.octets.lstrip(b"\n")) if name == "return-path")
            for path in paths:
                yield from _TOKEN.findall(path)


def _in_fields(part: Part, name: str, pattern: re.Pattern[str]) -> Iterator[str]:
    for fields in read_blocks(part.octets):
        yield from (PREFIX + found[-45:] for found in pattern.findall(fields.get(name, "")))
