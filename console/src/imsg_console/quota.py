"""The quotas of a user: used, left, and when the count begins again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from imsg_console.texts import Texts
from imsg_console.widgets.bars import bar, tone
from imsg_console.widgets.elements import element


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota of a user."""

    name: str
    """`hour`, `day` or `recipients`."""
    used: int
    limit: int
    resets_at: datetime
    """When the count begins again, in the installation's time zone."""

    @property
    def left(self) -> int:
        """How many are left."""
        return max(0, self.limit - self.used)


def read_quotas(me: Mapping[str, Any], timezone: str, now: datetime | None = None) -> list[Quota]:
    """Read the quotas out of GET /api/v2/me."""
    at = (now or datetime.now(UTC)).astimezone(ZoneInfo(timezone))
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    hour = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    limits = (
        ("hour", me["used_hour"], me["per_hour"], hour),
        ("day", me["used_day"], me["per_day"], midnight),
        ("recipients", me["used_recipients"], me["recipients_per_day"], midnight),
    )
    return [Quota(name, used, limit, resets_at) for name, used, limit, resets_at in limits if limit is not None]


def describe_reset(t: Texts, quota: Quota, now: datetime | None = None) -> str:
    """Describe when the count of a quota begins again, and in how long."""
    at = now or datetime.now(UTC)
    minutes = max(1, -(-int((quota.resets_at - at).total_seconds()) // 60))
    clock = f"{quota.resets_at:%H:%M}"
    if minutes < 60:  # noqa: PLR2004  an hour's
        return t("limits.opens_minutes", clock=clock, n=minutes)
    hours = round(minutes / 60)
    return t("limits.opens_midnight" if clock == "00:00" else "limits.opens_hours", clock=clock, n=hours)


def draw_quota(t: Texts, quota: Quota) -> None:
    """Draw one quota as a bar, with its numbers in words."""
    title = t(f"limits.{quota.name}")
    unit = "_recipients" if quota.name == "recipients" else ""
    with element("div", "stack tight limit"):
        with element("div", "spread"):
            element("span", "", title)
            left = t(f"limits.left{unit}", n=quota.left, most=quota.limit)
            element("strong", "bad-text" if quota.left == 0 else "", left)
        used = t(f"limits.used{unit}", n=quota.used, most=quota.limit)
        share = min(1.0, quota.used / quota.limit) if quota.limit else 1.0
        bar(title, share, used, role="meter", level=tone(quota.used, quota.limit))
        element("span", "muted", describe_reset(t, quota))
