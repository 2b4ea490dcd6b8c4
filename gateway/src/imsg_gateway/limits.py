"""Quotas and caps as the client reads them: RateLimit headers, and the refusal of what is used up."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from imsg_contract.errors import Refusal
from imsg_limits.quota import (
    PER_DAY,
    PER_HOUR,
    RECIPIENTS_PER_DAY,
    TESTS_PER_DAY,
    Capped,
    Exhausted,
    Per,
    Scope,
    Unit,
    Window,
)

_NAMES = {PER_HOUR.key: "hour", PER_DAY.key: "day", RECIPIENTS_PER_DAY.key: "recipients"}
"""What the headers call the quotas that v1 knows; of others it is the id."""

_REASONS = {row.key: f"{row.id}_used_up" for row in (PER_HOUR, PER_DAY, RECIPIENTS_PER_DAY)}

_LENGTHS_S: Mapping[Per, int] = {"minute": 60, "hour": 3_600, "day": 86_400, "month": 31 * 86_400}

_UNITS: Mapping[Unit, tuple[str, str]] = {
    "requests": ("次", "requests"),
    "recipients": ("个收件人", "recipients"),
    "segments": ("条短信", "segments"),
}
_SCOPES: Mapping[Scope, tuple[str, str]] = {
    "user": ("", "The"),
    "all": ("整个系统共用的", "The whole installation's"),
}


def headers(windows: Sequence[Window]) -> dict[str, str]:
    """Write RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10: lists of quoted items)."""
    policies, lefts = [], []
    for window in windows:
        row = window.row
        name = f"all.{row.id}" if window.scope == "all" else row.id
        name = _NAMES.get(row.key, name) if _is_own(window) else name
        unit = "" if row.counts == "requests" else f';qu="{row.counts}"'
        policies.append(f'"{name}";q={window.limit};w={_LENGTHS_S[row.per]}{unit}')
        lefts.append(f'"{name}";r={window.left};t={window.opens_in_s}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(lefts)} if windows else {}


def refuse_exhausted(exhausted: Exhausted, recipients: int, segments: int, zone: tzinfo) -> Refusal:
    """Refuse a request of so much: the quota in the way, and when it opens in the zone of the windows."""
    window = exhausted.window
    row = window.row
    opens = datetime.fromtimestamp(window.opens_at, zone).isoformat()
    wanted = {"requests": 1, "recipients": recipients, "segments": segments}[row.counts]
    unit_zh, unit_en = _UNITS[row.counts]
    scope_zh, scope_en = _SCOPES[window.scope]
    return Refusal(
        _find_reason(window),
        extra={"quota": row.id, "left": window.left, "opens_at": opens},
        limit=window.limit,
        left=window.left,
        recipients=recipients,
        opens=opens,
        quota=row.id,
        wanted=wanted,
        unit_zh=unit_zh,
        unit_en=unit_en,
        scope_zh=scope_zh,
        scope_en=scope_en,
        retry_after_s=max(1, window.opens_in_s),
        headers=headers(exhausted.windows),
    )


def refuse_capped(capped: Capped) -> Refusal:
    """Refuse a single message whose address got as many as a cap allows."""
    row, after = capped.row, max(1, math.ceil(capped.opens_in_s))
    return Refusal(
        "recipient_cap",
        extra={"cap": row.id},
        cap=row.id,
        limit=row.limit,
        per_zh={"minute": "分钟", "hour": "小时", "day": "天"}[row.per],
        per_en=row.per,
        after=after,
        retry_after_s=after,
    )


def _find_reason(window: Window) -> str:
    return _REASONS.get(window.row.key, "quota_used_up") if _is_own(window) else "quota_used_up"


def _is_own(window: Window) -> bool:
    """Return whether it is one of the user's own quotas, of which some have names of v1."""
    return window.scope == "user" and window.row != TESTS_PER_DAY
