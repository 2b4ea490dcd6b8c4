"""Redaction: jobs, texts and rows without erased people."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from imsg_contract.addresses import identity
from imsg_contract.mentions import find_mentions
from imsg_contract.wire import Job
from imsg_history.facts import compact, utc

Gone = Callable[[str], bool]
"""Returns whether an address, in its normal form, was erased."""

ERASED = "erased"
"""The code of a message whose recipient was erased."""

WITHOUT_TEXTS: dict[str, Any] = {"content": None, "attachments": [], "reference": None}
"""The texts of a Job that mentioned an erased person."""

_ESCAPE = re.compile(r"\\[nrt]")


def mentions_erased(text: str, gone: Gone) -> bool:
    """Return whether a text mentions an erased person."""
    return any(gone(identity(mention)) for mention in find_mentions(text))


def redact_job(body: bytes, gone: Gone) -> bytes | None:
    """Remove recipients from a Job's bytes; None where no recipient is left. Unknown fields are kept.

    The content stays: it is to be sent to the others.
    """
    fields: dict[str, Any] = json.loads(body)
    remaining = [recipient for recipient in fields["recipients"] if not gone(recipient["address"])]
    legs = [recipient for leg in fields.get("fallback", ()) for recipient in leg["job"]["recipients"]]
    if len(remaining) == len(fields["recipients"]) and not any(gone(recipient["address"]) for recipient in legs):
        return body
    fields.pop("fallback", None)
    return compact(fields | {"recipients": remaining}).encode() if remaining else None


def redact_dead_job(body: bytes, gone: Gone) -> bytes:
    """Remove people from a dead-lettered Job: recipients, and texts that mention them; empty without recipients."""
    left = redact_job(body, gone)
    if left is None:
        return b""
    fields: dict[str, Any] = json.loads(left)
    recipients = [_redact_recipient(recipient, gone) for recipient in fields["recipients"]]
    if mentions_erased("\n".join(_read_strings([fields.get(name) for name in WITHOUT_TEXTS])), gone):
        return compact(fields | WITHOUT_TEXTS | {"recipients": recipients}).encode()
    return left if recipients == fields["recipients"] else compact(fields | {"recipients": recipients}).encode()


def _redact_recipient(recipient: dict[str, Any], gone: Gone) -> dict[str, Any]:
    """Remove what a recipient brings where it mentions an erased person."""
    own = {name: value for name, value in recipient.items() if name in ("params", "reference")}
    if not own or not mentions_erased("\n".join(_read_strings(own)), gone):
        return recipient
    return {name: value for name, value in recipient.items() if name not in own}


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
    """Decode a body of unknown form; JSON's escapes of white space become spaces."""
    return _ESCAPE.sub(" ", body.decode(errors="replace"))


def read_accepted_at(body: bytes) -> datetime | None:
    """Return when a Job was accepted; None where the body is no Job."""
    try:
        return utc(Job.model_validate_json(body).accepted_at)
    except ValueError:
        return None


def mentions(parts: Iterable[str | None], people: Iterable[str]) -> bool:
    """Return whether a request's texts (subject, content and file names, as JSON) mention one of these people."""
    texts = "\n".join(part for part in parts if part is not None)
    wanted = set(people)
    is_spelled = any(form in texts.lower() for form in spell(wanted))
    return is_spelled or mentions_erased(texts, {*map(identity, wanted)}.__contains__)


def spell(people: Iterable[str]) -> set[str]:
    """Return the forms in which texts may write addresses, in lower case.

    A number of mainland China is written in its eleven digits, a tag with its hyphens and without.
    """
    forms = {form for person in people for form in (person.lower(), person.lower().replace("-", ""))}
    return forms | {form.removeprefix("+86").removeprefix("+") for form in forms if form.startswith("+")}


EMPTY_CONTENT: Mapping[str, Any] = {"subject": None, "content": None, "content_at": None, "attachments": "[]"}
"""The columns of a request whose content was erased."""

EMPTY_REQUEST: Mapping[str, Any] = {**EMPTY_CONTENT, "reference": None}
"""The columns of a request whose recipients were all erased; its reference may name them."""


def truncate_to_month(at: datetime) -> datetime:
    """Truncate a time to its month: an erased message keeps no more of its times."""
    at = at.astimezone(UTC)
    return datetime(at.year, at.month, 1, tzinfo=UTC)
