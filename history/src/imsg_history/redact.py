"""What is left of a job, a text or a row once people who were erased are taken out of it."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from imsg_contract import addresses
from imsg_contract.wire import Job
from imsg_history.events import compact, utc

Gone = Callable[[str], bool]
"""Tells of an address, in its normal form, whether it was erased."""

ERASED = "erased"
"""The code of a message whose recipient was erased."""

_DOMAIN = re.compile(r"@[A-Za-z0-9.-]{1,255}")
_OUTSIDE = frozenset("\"'<>(),:;\\[]@")
"""Around an address, and in none that we take (RFC 5321, without quotes)."""

_PHONE = re.compile(r"(?<![0-9])\+?[0-9]{7,15}(?![0-9])")
_TAG = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{3}-[0-9A-Za-z]{3}-[0-9A-Za-z]{3}(?![0-9A-Za-z])")

LOCAL_CHARACTERS = 64
"""RFC 5321, section 4.5.3.1.1: so far before its @ an address may begin."""


def read_addresses(text: str) -> Iterator[str]:
    """Yield what in a text reads as an address, in its normal form."""
    for domain in _DOMAIN.finditer(text):
        local = _local(text, domain.start())
        if (one := addresses.email(local + domain[0].rstrip("."))) is not None:
            yield one
    for pattern, normal in ((_PHONE, addresses.phone), (_TAG, addresses.tag)):
        for found in pattern.findall(text):
            if (one := normal(found)) is not None:
                yield one


def _local(text: str, end: int) -> str:
    """Read what stands right before an @."""
    start = end
    while start > max(0, end - LOCAL_CHARACTERS) and not (text[start - 1].isspace() or text[start - 1] in _OUTSIDE):
        start -= 1
    return text[start:end]


def holds(text: str, gone: Gone) -> bool:
    """Tell whether a text names somebody who was erased."""
    return any(map(gone, read_addresses(text)))


def job(body: bytes, gone: Gone) -> bytes | None:
    """Take recipients out of a Job's bytes; None where nobody is left. A newer version's fields are kept.

    Its content stays: the others are to be sent it.
    """
    fields: dict[str, Any] = json.loads(body)
    kept = [recipient for recipient in fields["recipients"] if not gone(recipient["address"])]
    if len(kept) == len(fields["recipients"]):
        return body
    return compact(fields | {"recipients": kept}).encode() if kept else None


def letter(body: bytes, gone: Gone) -> bytes:
    """Take people out of a Job that died: recipients, and the content that names them; all of it without recipients."""
    left = job(body, gone)
    if left is None:
        return b""
    fields: dict[str, Any] = json.loads(body)
    people = [recipient["address"] for recipient in fields["recipients"] if gone(recipient["address"])]
    if people and names((compact(fields.get("content")), compact(fields.get("attachments"))), people):
        return compact(json.loads(left) | {"content": None, "attachments": []}).encode()
    return left


def read_accepted_at(body: bytes) -> datetime | None:
    """Say when a Job was accepted; None of what is no Job."""
    try:
        return utc(Job.model_validate_json(body).accepted_at)
    except ValueError:
        return None


def names(parts: Iterable[str | None], people: Iterable[str]) -> bool:
    """Tell whether any of a request's texts (subject, content and file names, as JSON) names one of these people.

    A number of mainland China is looked for in its eleven digits, a tag with its hyphens and without.
    """
    spelled = {form for one in people for form in (one.lower(), one.lower().replace("-", ""))}
    spelled |= {one.removeprefix("+86").removeprefix("+") for one in spelled if one.startswith("+")}
    return any(form in part.lower() for part in parts if part is not None for form in spelled)


BARE: Mapping[str, Any] = {"subject": None, "content": None, "content_at": None, "attachments": "[]"}
"""What a request is left with whose content was erased: neither a content nor where one is kept."""

NOBODYS: Mapping[str, Any] = {**BARE, "reference": None}
"""What it is left with once nobody of it is left; what a client calls it may name them."""


def month(at: datetime) -> datetime:
    """Return the month of a time: all that is kept of when."""
    at = at.astimezone(UTC)
    return datetime(at.year, at.month, 1, tzinfo=UTC)
