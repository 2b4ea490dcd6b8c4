"""How a channel's providers stand, of what each of its senders told: pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

FRESH_S = 10
"""How long what a sender told is believed; it tells every second."""

OF_ALL = ("account", "provider")
"""What a block concerns that lets nothing through."""

Provider = Mapping[str, Any]


def unite(told: Mapping[bytes, bytes], now_s: int) -> list[Provider]:
    """Make one list of what several processes tell: counts added up, the newest reason, the slowest time."""
    found: dict[str, list[Provider]] = {}
    for body in _fresh(told, now_s):
        for one in body.get("providers", ()):
            found.setdefault(one["name"], []).append(one)
    return [_unite(name, several) for name, several in found.items()]


def _fresh(told: Mapping[bytes, bytes], now_s: int) -> Iterable[Mapping[str, Any]]:
    """Read the newest of each process, the newest of all first."""
    newest: dict[str, tuple[int, bytes]] = {}
    for field, body in told.items():
        at, _, process = field.decode(errors="replace").partition(" ")
        if at.isdigit() and int(at) >= now_s - FRESH_S:
            newest[process] = max(newest.get(process, (0, b"")), (int(at), body))
    for _, body in sorted(newest.values(), reverse=True):
        try:
            read = json.loads(body)
        except ValueError:
            continue
        if isinstance(read, dict):
            yield read


def _unite(name: str, several: Sequence[Provider]) -> Provider:
    newest = several[0]
    blocks = _unite_blocks([block for one in several for block in one["blocks"]])
    whole = [block for block in blocks if block["concerns"] in OF_ALL]
    state = "disabled" if not newest["enabled"] else "blocked" if whole else "open"
    first = next(iter(blocks), None)
    times = [one["p95_ms"] for one in several if one["p95_ms"] is not None]
    errors = [one["last_error"] for one in several if one["last_error"] is not None]
    return {
        "name": name,
        "state": state,
        "share": newest["share"],
        "why": None if first is None else f"{first['what']}: {first['code']} {first['detail']}".strip(),
        "since": None if first is None else first["since"],
        "until": None if first is None else first["until"],
        "last_error": max(errors, key=lambda error: error["at"], default=None),
        "sent": sum(one["sent"] for one in several),
        "failed": sum(one["failed"] for one in several),
        "p95_ms": max(times, default=None),
        "enabled": newest["enabled"],
        "weight": newest["weight"],
        "blocks": blocks,
    }


def _unite_blocks(blocks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep one of each scope: since the first process saw it, until the last lets it go."""
    found: dict[str, Mapping[str, Any]] = {}
    for block in blocks:
        known = found.get(block["what"])
        if known is not None:
            since, until = min(block["since"], known["since"]), max(block["until"], known["until"])
            block = {**block, "since": since, "until": until}  # noqa: PLW2901
        found[block["what"]] = block
    return sorted(found.values(), key=lambda block: (block["concerns"] not in OF_ALL, block["since"]))
