"""Limits as the client reads them: RateLimit headers, and the refusal of what is used up."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from imsg_contract.errors import Refusal
from imsg_limits.quota import Exhausted, Window, WindowName

_POLICIES: Mapping[WindowName, tuple[str, int, str]] = {
    "per_hour": ("hour", 3_600, ""),
    "per_day": ("day", 86_400, ""),
    "recipients_per_day": ("recipients", 86_400, ';qu="recipients"'),
}
"""Window → name, length in seconds and unit, as the headers give them."""


def headers(windows: Sequence[Window]) -> dict[str, str]:
    """Write RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10: lists of quoted items)."""
    policies, lefts = [], []
    for window in windows:
        name, seconds, unit = _POLICIES[window.name]
        policies.append(f'"{name}";q={window.limit};w={seconds}{unit}')
        lefts.append(f'"{name}";r={window.left};t={window.opens_in_s}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(lefts)}


def refuse_exhausted(found: Exhausted, recipients: int, zone: tzinfo) -> Refusal:
    """Refuse a request of so many recipients: the window in the way, and when it opens in the zone of the windows."""
    window = found.window
    return Refusal(
        f"{window.name}_used_up",
        limit=window.limit,
        left=window.left,
        recipients=recipients,
        opens=datetime.fromtimestamp(window.opens_at, zone).isoformat(),
        retry_after_s=max(1, window.opens_in_s),
        headers=headers(found.windows),
    )
