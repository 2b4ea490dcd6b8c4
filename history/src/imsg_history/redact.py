"""What is left of a job, a text or a row once people who were erased are taken out of it."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from imsg_contract.addresses import identity
from imsg_contract.mentions import find_mentions
from imsg_contract.wire import Job
from imsg_history.events import compact, utc

Gone = Callable[[str], bool]
"""Tells of an address, in its normal form, whether it was erased."""

ERASED = "erased"
"""The code of a message whose recipient was erased."""

TEXTLESS: dict[str, Any] = {"content": None, "attachments": [], "reference": None}
"""What a Job is left with whose texts name somebody who was erased."""

_ESCAPE = re.compile(r"\\[nrt]")


def holds(text: str, gone: Gone) -> bool:
    """Tell whether a text names somebody who was erased."""
    return any(gone(identity(one)) for one in find_mentions(text))


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
    """Take people out of a Job that died: recipients, and the texts that name them; all of it without recipients."""
    left = job(body, gone)
    if left is None:
        return b""
    fields: dict[str, Any] = json.loads(left)
    if holds("\n".join(_read_strings([fields.get(name) for name in TEXTLESS])), gone):
        return compact(fields | TEXTLESS).encode()
    return left


def _read_strings(value: Any) -> Iterator[str]:  # noqa: ANN401  any JSON
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _read_strings(item)
        case dict():
            yield from _read_strings([*value, *value.values()])


def read_text(body: bytes) -> str:
    """Read a body of which nothing is known; JSON's escapes of white space are what they stand for."""
    return _ESCAPE.sub(" ", body.decode(errors="replace"))


def read_accepted_at(body: bytes) -> datetime | None:
    """Say when a Job was accepted; None of what is no Job."""
    try:
        return utc(Job.model_validate_json(body).accepted_at)
    except ValueError:
        return None


def names(parts: Iterable[str | None], people: Iterable[str]) -> bool:
    """Tell whether any of a request's texts (subject, content and file names, as JSON) names one of these people."""
    texts = "\n".join(part for part in parts if part is not None)
    wanted = set(people)
    return any(form in texts.lower() for form in spell(wanted)) or holds(texts, {*map(identity, wanted)}.__contains__)


def spell(people: Iterable[str]) -> set[str]:
    """Return how texts may write some addresses, in small letters.

    A number of mainland China is written in its eleven digits, a tag with its hyphens and without.
    """
    forms = {form for one in people for form in (one.lower(), one.lower().replace("-", ""))}
    return forms | {one.removeprefix("+86").removeprefix("+") for one in forms if one.startswith("+")}


BARE: Mapping[str, Any] = {"subject": None, "content": None, "content_at": None, "attachments": "[]"}
"""What a request is left with whose content was erased: neither a content nor where one is kept."""

NOBODYS: Mapping[str, Any] = {**BARE, "reference": None}
"""What it is left with once nobody of it is left; what a client calls it may name them."""


def month(at: datetime) -> datetime:
    """Return the month of a time: all that is kept of when."""
    at = at.astimezone(UTC)
    return datetime(at.year, at.month, 1, tzinfo=UTC)
