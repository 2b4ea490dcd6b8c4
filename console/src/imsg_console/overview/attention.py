"""What needs somebody's attention, each with its next step."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from imsg_console.answers import explained
from imsg_console.client import Api
from imsg_console.messages.moments import Moments
from imsg_console.plain import line
from imsg_console.view import View
from imsg_console.widgets.bars import NEAR

LOOKED_AT = 100
"""How many of the newest failures are sorted by what they say."""

SHOWN_CODES = 4
SHOWN_USERS = 4
USER_PAGES = 4
"""How many pages of users are looked through for limits that are near: 2,000 users."""

MANY_WAITING = 1_000
"""From where on a backlog is worth a word."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to attend to."""

    tone: str
    symbol: str
    title: str
    text: str
    step: str
    """What the link says."""
    target: str


async def channels(view: View) -> list[Item]:
    """Find channels that are paused, blocked, or behind."""
    answer = await view.api.get("/api/v2/channels")
    t, moments = view.t, _moments(view)
    found = []
    for channel in answer["channels"]:
        name, state, waiting = t(f"words.method_{channel['method']}"), channel["state"], channel["waiting"] or 0
        why = line(channel["why"]) or t("overview.no_reason")
        if state == "open" and waiting < MANY_WAITING:
            continue
        text = t("overview.waiting", n=f"{waiting:,}")
        if state != "open":
            text = f"{why}{t('overview.stop')}{text}"
        if channel["until"]:
            text = f"{text} {t('overview.until', time=moments.full(channel['until']))}"
        tone, symbol = {"paused": ("warn", "pause_circle"), "blocked": ("bad", "block")}.get(
            state, ("info", "hourglass_top")
        )
        found.append(
            Item(
                tone,
                symbol,
                t(f"overview.channel_{state}", name=name),
                text,
                t(f"overview.channel_{state}_step"),
                "/channels",
            )
        )
    return found


async def dead(view: View) -> list[Item]:
    """Find dead letters."""
    answer = await view.api.get("/api/v2/dead", limit=LOOKED_AT)
    number = len(answer["dead"])
    if not number:
        return []
    count = f"{number}+" if answer["next"] else str(number)
    t = view.t
    title = t("overview.dead", n=count)
    return [Item("bad", "report", title, t("overview.dead_text"), t("overview.dead_step"), "/channels#dead")]


async def failures(view: View, now: datetime) -> list[Item]:
    """Sort the newest failures of a day by what the provider said."""
    since = (now - timedelta(days=1)).isoformat(timespec="seconds").replace("+00:00", "Z")
    answer = await view.api.get("/api/v2/messages", status="failed", since=since, limit=LOOKED_AT)
    counted = Counter((one["method"], (one["error"] or {}).get("code") or "") for one in answer["messages"])
    return [_failure(view, method, code, number, since) for (method, code), number in counted.most_common(SHOWN_CODES)]


def _failure(view: View, method: str, code: str, number: int, since: str) -> Item:
    t = view.t
    said = explained(t, method, "failed", code)
    title = t(
        "overview.failed", n=number, name=t(f"words.method_{method}"), code=line(code, 40) or t("overview.no_code")
    )
    text = f"{said.meaning} {said.remedy}" if said else ""
    target = f"/messages?{urlencode({'status': 'failed', 'method': method, 'since': since})}"
    return Item("bad", "error", title, text, t("overview.failed_step"), target)


async def uncertain(view: View, now: datetime) -> list[Item]:
    """Find messages of which nobody knows what became."""
    since = (now - timedelta(days=1)).isoformat(timespec="seconds").replace("+00:00", "Z")
    answer = await view.api.get("/api/v2/messages", status="uncertain", since=since, limit=LOOKED_AT)
    number = len(answer["messages"])
    if not number:
        return []
    t = view.t
    title = t("overview.uncertain", n=f"{number}+" if answer["next"] else number)
    target = f"/messages?{urlencode({'status': 'uncertain', 'since': since})}"
    return [Item("warn", "help", title, t("overview.uncertain_text"), t("overview.uncertain_step"), target)]


async def limits(view: View) -> list[Item]:
    """Find users who have used up what they may send, or nearly."""
    near = [user async for user in _near(view.api)]
    near.sort(key=_share, reverse=True)
    items = [_limit(view, user) for user in near[:SHOWN_USERS]]
    if len(near) > SHOWN_USERS:
        t = view.t
        title = t("overview.more_limits", n=len(near) - SHOWN_USERS)
        items.append(
            Item("warn", "speed", title, t("overview.more_limits_text"), t("overview.more_limits_step"), "/users")
        )
    return items


async def _near(api: Api) -> Any:  # noqa: ANN401  an async iterator of the API's users
    pages = 0
    async for page in api.pages("/api/v2/users", "users"):
        for user in page:
            if user["available"] and _share(user) >= NEAR:
                yield user
        pages += 1
        if pages == USER_PAGES:
            return


def _share(user: Mapping[str, Any]) -> float:
    """Return how much of the tighter limit is used; nothing for who may send nothing, or has sent nothing."""
    return max((user[f"used_{one}"] / user[f"per_{one}"] for one in ("hour", "day") if user[f"per_{one}"]), default=0.0)


def _limit(view: View, user: Mapping[str, Any]) -> Item:
    t = view.t
    used_up = user["left_hour"] <= 0 or user["left_day"] <= 0
    name = line(user["username"], 64)
    text = t(
        "overview.limit_text",
        hour=f"{user['used_hour']} / {user['per_hour']}",
        day=f"{user['used_day']} / {user['per_day']}",
    )
    title = t("overview.limit_used" if used_up else "overview.limit_near", name=name)
    target = f"/users?{urlencode({'search': user['username'], 'edit': user['username']})}"
    return Item("bad" if used_up else "warn", "speed", title, text, t("overview.limit_step"), target)


def _moments(view: View) -> Moments:
    return Moments(view.timezone, english=view.t.language == "en")


TONES: Sequence[str] = ("bad", "warn", "info")


def sorted_by_need(items: Sequence[Item]) -> list[Item]:
    """Put what hurts first."""
    return sorted(items, key=lambda item: TONES.index(item.tone))
