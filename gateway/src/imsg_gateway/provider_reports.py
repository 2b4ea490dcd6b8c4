"""The state of a channel's providers, merged from the reports of its sender processes. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from imsg_contract.provider_reports import list_fresh

WHOLE_PROVIDER = ("account", "provider")
"""The scopes of a block that stops all messages."""

Provider = Mapping[str, Any]


def merge(reports: Mapping[bytes, bytes], now_s: int) -> list[Provider]:
    """Merge the reports of several processes: the sum of the counts, the newest reason, the slowest time."""
    by_name: dict[str, list[Provider]] = {}
    for report in list_fresh(reports, now_s):
        for provider in report.get("providers", ()):
            by_name.setdefault(provider["name"], []).append(provider)
    return [_merge_provider(name, states) for name, states in by_name.items()]


def _merge_provider(name: str, states: Sequence[Provider]) -> Provider:
    newest = states[0]
    blocks = _merge_blocks([block for state in states for block in state["blocks"]])
    whole = [block for block in blocks if block["concerns"] in WHOLE_PROVIDER]
    state = "disabled" if not newest["enabled"] else "blocked" if whole else "open"
    first = next(iter(blocks), None)
    times = [state["p95_ms"] for state in states if state["p95_ms"] is not None]
    errors = [state["last_error"] for state in states if state["last_error"] is not None]
    return {
        "name": name,
        "state": state,
        "share": newest["share"],
        "why": None if first is None else f"{first['what']}: {first['code']} {first['detail']}".strip(),
        "since": None if first is None else first["since"],
        "until": None if first is None else first["until"],
        "last_error": max(errors, key=lambda error: error["at"], default=None),
        "sent": sum(state["sent"] for state in states),
        "failed": sum(state["failed"] for state in states),
        "p95_ms": max(times, default=None),
        "enabled": newest["enabled"],
        "weight": newest["weight"],
        "blocks": blocks,
    }


def _merge_blocks(blocks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Merge blocks of one scope: from the first process' `since` to the last one's `until`."""
    by_scope: dict[str, Mapping[str, Any]] = {}
    for block in blocks:
        known = by_scope.get(block["what"])
        if known is not None:
            since, until = min(block["since"], known["since"]), max(block["until"], known["until"])
            block = {**block, "since": since, "until": until}  # noqa: PLW2901
        by_scope[block["what"]] = block
    return sorted(by_scope.values(), key=lambda block: (block["concerns"] not in WHOLE_PROVIDER, block["since"]))
