"""Reads what providers' answers about an account have in common."""

import json
import re
from collections.abc import Mapping
from typing import Any

from imsg_contract.provider_accounts import Filing, ProviderEntry, Review, Words

MAX_PAGES = 40
"""The most pages of a list that are read."""

_VARIABLE = re.compile(r"\$?\{([^{}]+)\}")

JsonObject = Mapping[str, Any]

CARRIERS: Mapping[str, Words] = {
    "mobile": Words(zh="中国移动", en="China Mobile"),
    "unicom": Words(zh="中国联通", en="China Unicom"),
    "telecom": Words(zh="中国电信", en="China Telecom"),
}

FILINGS: Mapping[Filing, Words] = {
    "failed": Words(zh="报备失败", en="filing failed"),
    "lapsed": Words(zh="报备已失效", en="filing has lapsed"),
    "unfiled": Words(zh="未报备", en="not filed"),
    "filing": Words(zh="报备中", en="being filed"),
    "filed": Words(zh="已报备", en="filed"),
}
"""The worst first: a signature is what it is at the carrier where it is worst."""


def merge_filings(by_carrier: Mapping[str, tuple[Filing, str]]) -> tuple[Filing | None, Words | None]:
    """Return the filing of a signature, and its reasons by carriers.

    It is filed once every carrier reports so; None where none reports worse, but not all report.
    """
    worst = next((filing for filing in FILINGS if any(reported == filing for reported, _ in by_carrier.values())), None)
    if worst == "filed" and by_carrier.keys() != CARRIERS.keys():
        worst = None
    open_ = {carrier: reason for carrier, reason in by_carrier.items() if reason[0] != "filed"}
    if not open_:
        return worst, None

    def describe(language: str, separator: str) -> str:
        parts = (
            " ".join(filter(None, (getattr(CARRIERS[carrier], language), getattr(FILINGS[filing], language), why)))
            for carrier, (filing, why) in open_.items()
        )
        return separator.join(parts)

    return worst, Words(zh=describe("zh", "；"), en=describe("en", "; "))


def read_words(text: object) -> Words | None:
    """Return a provider's own words; None where there are none."""
    words = str(text or "").strip()
    return Words(zh=words, en=words) if words and words not in {"无审核备注", "通过"} else None


def make_template(name: object, text: object, review: Review | None, reason: Words | None) -> ProviderEntry:
    """Make the entry of a template, with the variables in its text."""
    content = str(text or "")
    variables = tuple(dict.fromkeys(_VARIABLE.findall(content)))
    return ProviderEntry(id=str(name), text=content, variables=variables, review=review or "unknown", reason=reason)


def read_objects(listed: object) -> list[JsonObject]:
    """Return the objects in a JSON list; empty if it is no list."""
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []


def read_object(value: object) -> JsonObject:
    """Return a JSON object; empty if it is none."""
    return value if isinstance(value, dict) else {}


def read_whole_number(value: object) -> int:
    """Return a JSON whole number; 0 if it is none."""
    return value if isinstance(value, int) else 0


def read_json(body: bytes) -> JsonObject:
    """Parse an answer; empty if it is no JSON object."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
