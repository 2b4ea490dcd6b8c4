"""How much may still be sent, in words: used, left, and when it opens again."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from imsg_console.texts import Texts
from imsg_console.widgets.elements import attrs, element

NEARLY = 0.8
"""The share from which on a bar warns."""


@dataclass(frozen=True, slots=True)
class Window:
    """One limit."""

    name: str
    """`hour`, `day` or `recipients`."""
    used: int
    most: int
    opens_at: datetime
    """When the count begins anew, in the installation's zone."""

    @property
    def left(self) -> int:
        """How many are left."""
        return max(0, self.most - self.used)


def windows(me: Mapping[str, Any], timezone: str, now: datetime | None = None) -> list[Window]:
    """Read the limits out of GET /api/v2/me."""
    at = (now or datetime.now(UTC)).astimezone(ZoneInfo(timezone))
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    hour = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    found = [
        Window("hour", me["used_hour"], me["per_hour"], hour),
        Window("day", me["used_day"], me["per_day"], midnight),
    ]
    if me["recipients_per_day"] is not None:
        found.append(Window("recipients", me["used_recipients"], me["recipients_per_day"], midnight))
    return found


def opens(t: Texts, window: Window, now: datetime | None = None) -> str:
    """Say when a window opens again, and in how long."""
    at = now or datetime.now(UTC)
    minutes = max(1, -(-int((window.opens_at - at).total_seconds()) // 60))
    clock = f"{window.opens_at:%H:%M}"
    if minutes < 60:  # noqa: PLR2004  an hour's
        return t("limits.opens_minutes", clock=clock, n=minutes)
    hours = round(minutes / 60)
    return t("limits.opens_midnight" if clock == "00:00" else "limits.opens_hours", clock=clock, n=hours)


def bar(t: Texts, window: Window) -> None:
    """Draw one limit as a bar, with its numbers in words."""
    share = 1.0 if window.most == 0 else min(1.0, window.used / window.most)
    tone = "bar-bad" if window.left == 0 else "bar-warn" if share >= NEARLY else ""
    title = t(f"limits.{window.name}")
    what = "_recipients" if window.name == "recipients" else ""
    left = t(f"limits.left{what}", n=window.left, most=window.most)
    with element("div", "stack tight limit"):
        with element("div", "spread limit-head"):
            element("span", "limit-name", title)
            element("strong", "bad-text" if window.left == 0 else "", left)
        drawn = attrs(element("div", f"bar {tone}".strip()), role="progressbar", aria_label=title)
        attrs(
            drawn,
            aria_valuenow=round(share * 100),
            aria_valuetext=t(f"limits.used{what}", n=window.used, most=window.most),
        )
        with drawn:
            element("div", "bar-fill").style(f"width: {share * 100:.0f}%")
        element("span", "muted limit-opens", opens(t, window))
