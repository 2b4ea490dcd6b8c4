"""The quotas of a user: used, left, and when the count begins again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui

from imsg_console.texts import Texts
from imsg_console.widgets.bars import bar, tone
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import element

UNITS = {"requests": "", "recipients": "_recipients", "segments": "_segments"}
"""What a quota counts → the ending of the texts that say how many."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One quota of a user, or of the whole installation."""

    id: str
    counts: str
    per: str
    method: str | None
    is_shared: bool
    used: int
    limit: int
    left: int
    resets_at: datetime
    """When the count begins again, in the installation's time zone."""

    def name(self, t: Texts) -> str:
        """Return the quota's title: its period, what it counts, its method, and whether all users share it."""
        words = [t(f"limits.per_{self.per}")]
        if self.method is not None:
            words.append(method_name(t, self.method))
        if self.counts != "requests" or self.method is not None:
            words.append(t(f"limits.{self.counts}"))
        if self.is_shared:
            words.append(t("limits.shared"))
        return " · ".join(words)

    def write_left(self, t: Texts) -> str:
        """Write what is left of how many, with its unit."""
        return t(f"limits.left{UNITS[self.counts]}", n=self.left, most=self.limit)


def read_quotas(answer: Mapping[str, Any], timezone: str) -> list[Quota]:
    """Read the quotas out of GET /api/v2/me, or of a check."""
    return [
        Quota(
            row["id"],
            row["counts"],
            row["per"],
            row["method"],
            row["scope"] == "all",
            row["used"],
            row["limit"],
            row["left"],
            datetime.fromisoformat(row["opens_at"]).astimezone(ZoneInfo(timezone)),
        )
        for row in answer["quotas"]
    ]


def describe_reset(t: Texts, quota: Quota, now: datetime | None = None) -> str:
    """Describe when the count of a quota begins again, and in how long."""
    at = now or datetime.now(UTC)
    minutes = max(1, -(-int((quota.resets_at - at).total_seconds()) // 60))
    clock = f"{quota.resets_at:%H:%M}"
    if minutes < 60:  # noqa: PLR2004  an hour's
        return t("limits.opens_minutes", clock=clock, n=minutes)
    hours = round(minutes / 60)
    if hours > 24:  # noqa: PLR2004  a day's
        return t("limits.opens_date", date=f"{quota.resets_at:%Y-%m-%d}")
    return t("limits.opens_midnight" if clock == "00:00" else "limits.opens_hours", clock=clock, n=hours)


def draw_quota(t: Texts, quota: Quota) -> None:
    """Draw one quota as a bar, with its numbers in words."""
    title, unit = quota.name(t), UNITS[quota.counts]
    with ui.column().classes("tight limit"):
        with ui.row().classes("justify-between"):
            element("span", "", title)
            element("strong", "bad-text" if quota.left == 0 else "", quota.write_left(t))
        used = t(f"limits.used{unit}", n=quota.used, most=quota.limit)
        share = min(1.0, quota.used / quota.limit) if quota.limit else 1.0
        bar(title, share, used, role="meter", level=tone(quota.used, quota.limit))
        element("span", "muted", describe_reset(t, quota))
