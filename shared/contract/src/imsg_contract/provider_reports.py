"""The reports that the senders of a channel write of its providers: `UNIX_SECONDS PROCESS` → JSON, a hash in Redis."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

FRESH_S = 10
"""How long a report is valid. A sender writes one every second."""


def list_fresh(reports: Mapping[bytes, bytes], now_s: int) -> Iterable[Mapping[str, Any]]:
    """Return the newest report of each process, the newest of all first."""
    newest: dict[str, tuple[int, bytes]] = {}
    for field, body in reports.items():
        at, _, process = field.decode(errors="replace").partition(" ")
        if at.isdigit() and int(at) >= now_s - FRESH_S:
            newest[process] = max(newest.get(process, (0, b"")), (int(at), body))
    for _, body in sorted(newest.values(), reverse=True):
        try:
            report = json.loads(body)
        except ValueError:
            continue
        if isinstance(report, dict):
            yield report
