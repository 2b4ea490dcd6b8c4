"""Refusals in OpenAPI: by HTTP status, with exactly the codes and reasons that a URL answers."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from imsg_contract.errors import REASONS

ANY = ("unavailable", "bug")
"""Reasons that every URL may answer."""

BODY = ("not_json", "not_an_object", "missing", "wrong_type")
"""Reasons that a URL with a body may answer."""

TOKEN = ("token_missing", "token_invalid")
"""Reasons that a URL with a token may answer."""

OUTCOME_UNKNOWN = "outcome_unknown"
"""The one reason that adds a field of its own: the `id` of the request that may have been accepted."""

QUOTA = 10013
"""The code whose refusals name the quota that is used up."""

_QUOTA_FIELDS: Mapping[str, Any] = {
    "quota": {"type": "string", "description": "With a quota that is used up: its id."},
    "left": {"type": "integer", "description": "What is left of it in this period."},
    "opens_at": {"type": "string", "format": "date-time", "description": "When the next period begins."},
}

RECIPIENT_CAP = "recipient_cap"
"""The one reason that names a cap."""

_CAP_FIELD = {"type": "string", "description": f"With `{RECIPIENT_CAP}`: the id of the cap."}

NOTHING: Mapping[str, str] = {}

_RETRY_AFTER = {"description": "In how many seconds to try again.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}
_WAITING = (429, 503)
_VALUE = re.compile(r"\{(\w+)\}")


def describe(reasons: Iterable[str], values: Mapping[str, str] = NOTHING) -> dict[str, Any]:
    """Return an operation's `responses` for reasons: status → a closed object. Raises ValueError for an unknown reason.

    `values` fill the placeholders of the table's sentences that are the same in every refusal.
    """
    by_status: dict[int, list[str]] = {}
    for reason in sorted(set(reasons), key=list(REASONS).index):
        by_status.setdefault(REASONS[reason].http, []).append(reason)
    return {str(status): _answer(status, by_status[status], values) for status in sorted(by_status)}


def list_of(reasons: Iterable[str], values: Mapping[str, str] = NOTHING) -> str:
    """Return reasons with their codes and sentences as Markdown, in the table's order."""
    return "\n".join(line(reason, values) for reason in sorted(set(reasons), key=list(REASONS).index))


def line(reason: str, values: Mapping[str, str] = NOTHING, *, english: bool = True) -> str:
    """Return one reason as a line of Markdown: code, reason, sentence. Raises KeyError for an unknown one."""
    row = REASONS[reason]
    sentence = _VALUE.sub(lambda match: values.get(match[1], "…"), row.en if english else row.zh)
    sentence = sentence.replace("{{", "{").replace("}}", "}")
    return f"- {row.code} `{reason}`: {sentence}"


def reasons_of(responses: Mapping[str, Any]) -> list[str]:
    """Return the reasons in an operation's `responses`."""
    reasons: list[str] = []
    for answer in responses.values():
        for content in answer.get("content", {}).values():
            reasons += content["schema"].get("properties", {}).get("reason", {}).get("enum", ())
    return reasons


def _answer(status: int, reasons: list[str], values: Mapping[str, str]) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": "\n".join(line(reason, values) for reason in reasons),
        "content": {"application/json": {"schema": _schema(reasons)}},
    }
    return answer | ({"headers": {"Retry-After": _RETRY_AFTER}} if status in _WAITING else {})


def _schema(reasons: list[str]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "errorCode": {"type": "integer", "enum": sorted({REASONS[reason].code for reason in reasons})},
        "errorMessage": {"type": "string", "description": "The documented text of the errorCode."},
        "reason": {"type": "string", "enum": reasons},
        "detail": {"type": "string", "description": "A sentence for people, with the remedy."},
    }
    required = list(properties)
    if OUTCOME_UNKNOWN in reasons:
        properties["id"] = {
            "type": "string",
            "pattern": "^[0-9a-f]{32}$",
            "description": f"With `{OUTCOME_UNKNOWN}`: the request that may have been accepted.",
        }
    if any(REASONS[reason].code == QUOTA for reason in reasons):
        properties |= _QUOTA_FIELDS
    if RECIPIENT_CAP in reasons:
        properties["cap"] = _CAP_FIELD
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
