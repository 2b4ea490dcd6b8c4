"""The problems that an administrator should attend to, each with its next step."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from imsg_console.client import make_url
from imsg_console.explanations import explain, explain_listed
from imsg_console.findings import LEVELS, MAX_WORDS, TARGETS
from imsg_console.message.filters import write_local
from imsg_console.near_limits import find_near_limits
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.view import View
from imsg_console.widgets.chips import method_name

LOOKED_AT = 100
"""How many of the newest are counted where the API gives no total."""

SHOWN_CAUSES = 8
SHOWN_USERS = 4

STOPPING = ("broker", "redis", "service", "channel")
"""The parts whose fault stops messages."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something to attend to."""

    tone: str
    symbol: str
    title: str
    text: str
    step: str
    """The text of the link."""
    target: str
    rows: str = ""
    """How many rows the link opens, where the item has a number; with a `+`, how many at least."""
    stops_all: bool = False
    """Whether it stops messages: it is listed first."""


async def find_faults(view: View) -> list[Item]:
    """Return the faults and notices of the system's status."""
    answer = await view.api.get("/api/v2/status")
    return describe_findings(view.t, answer["findings"])


def describe_findings(t: Texts, findings: Sequence[Mapping[str, Any]]) -> list[Item]:
    """Describe findings that need attention; `find_dead_letters` has those about dead letters."""
    return [
        Item(
            LEVELS[finding["level"]].tone,
            LEVELS[finding["level"]].symbol,
            line(finding["title"], 128),
            f"{line(finding['state'], MAX_WORDS)}{t('overview.stop')}{line(finding['remedy'] or '', MAX_WORDS)}",
            t.get(f"overview.{finding['part']}_step", t("overview.status_step")),
            TARGETS.get(finding["part"], "/status"),
            stops_all=finding["level"] == "fault" and finding["part"] in STOPPING,
        )
        for finding in findings
        if finding["level"] != "well" and finding["part"] != "dead_letters"
    ]


async def find_dead_letters(view: View) -> list[Item]:
    """Find dead letters."""
    answer = await view.api.get("/api/v2/dead", limit=LOOKED_AT)
    number = len(answer["dead"])
    if not number:
        return []
    count = f"{number}+" if answer["next"] else str(number)
    t = view.t
    title = t("overview.dead", n=count)
    return [Item("bad", "report", title, t("overview.dead_text"), t("overview.dead_step"), "/channels#dead", count)]


async def find_failures(view: View, since: datetime, username: str) -> list[Item]:
    """Count the failures since a time by their causes, the most frequent first; each with its providers."""
    answer = await view.api.get("/api/v2/stats", bucket="day", since=_write(since), username=username)
    causes: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for failure in answer["failures"]:
        causes[failure["method"], failure["code"] or ""][failure["provider"] or ""] += failure["count"]
    ordered = sorted(causes.items(), key=lambda cause: -cause[1].total())
    items = [
        _failure(view, method, code, providers, {"username": username, "since": write_local(since, view.times.zone)})
        for (method, code), providers in ordered[:SHOWN_CAUSES]
    ]
    if rest := ordered[SHOWN_CAUSES:]:
        t, count = view.t, f"{sum(providers.total() for _, providers in rest):,}"
        title, text = t("overview.more_causes", n=str(len(rest))), t("overview.more_causes_text", n=count)
        target = list_failed(username=username, since=write_local(since, view.times.zone))
        items.append(Item("bad", "error", title, text, t("overview.failed_step"), target))
    return items


def _failure(view: View, method: str, code: str, providers: Counter[str], of: Mapping[str, str]) -> Item:
    """Describe how many messages failed with a code; the link opens these and no others."""
    t = view.t
    explained = explain(t, method, "failed", code)
    name, number = method_name(t, method), str(providers.total())
    title = t("overview.failed", n=number, channel=name, code=name_cause(t, method, code))
    text = explained.remedy if explained else ""
    named = [(line(provider, 40), count) for provider, count in providers.most_common() if provider]
    if len(named) > 1:
        counts = " · ".join(f"{provider} {count:,}" for provider, count in named[:SHOWN_CAUSES])
        text = t.join(text, t("overview.by_provider", counts=counts))
    target = list_failed(method=method, code=code, **of)
    return Item("bad", "error", title, text, t("overview.failed_step"), target, number if code else "")


def name_cause(t: Texts, method: str, code: str) -> str:
    """Return the cause of failures in words, with its code; the code alone where no table has it."""
    if not code:
        return t("overview.no_code")
    known = explain_listed(t, method, code)
    words = known.meaning.rstrip("。.") if known else ""
    return t("overview.cause", words=words, code=line(code, 40)) if known else line(code, 40)


def list_failed(**filters: str) -> str:
    """Return the address of the list of failed messages; filters that are empty are left out."""
    return make_url("/messages", status="failed", **filters)


async def find_uncertain(view: View, since: datetime, username: str) -> list[Item]:
    """Find messages since a time whose result is unknown."""
    of = {"status": "uncertain", "username": username}
    answer = await view.api.get("/api/v2/messages", **of, since=_write(since), limit=LOOKED_AT)
    number = len(answer["messages"])
    if not number:
        return []
    t = view.t
    count = f"{number}+" if answer["next"] else str(number)
    title = t("overview.uncertain", n=count)
    target = make_url("/messages", **of, since=write_local(since, view.times.zone))
    return [Item("warn", "help", title, t("overview.uncertain_text"), t("overview.uncertain_step"), target, count)]


async def find_used_limits(view: View) -> list[Item]:
    """Find users who have used up what they may send, or nearly."""
    near = await find_near_limits(view.api)
    items = [_limit(view, user) for user in near[:SHOWN_USERS]]
    if len(near) > SHOWN_USERS:
        t, count = view.t, str(len(near))
        title, text = t("overview.more_limits", n=count), t("overview.more_limits_text")
        items.append(Item("warn", "speed", title, text, t("overview.more_limits_step"), "/users?near=1", count))
    return items


def _compare(used: int, limit: int | None) -> str:
    return f"{used}" if limit is None else f"{used} / {limit}"


def _limit(view: View, user: Mapping[str, Any]) -> Item:
    t = view.t
    used_up = 0 in (user["left_hour"], user["left_day"])
    name = line(user["username"], 64)
    text = t(
        "overview.limit_text",
        hour=_compare(user["used_hour"], user["per_hour"]),
        day=_compare(user["used_day"], user["per_day"]),
    )
    title = t("overview.limit_used" if used_up else "overview.limit_near", name=name)
    target = f"/users?{urlencode({'search': user['username'], 'edit': user['username']})}"
    return Item("bad" if used_up else "warn", "speed", title, text, t("overview.limit_step"), target)


def _write(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


TONES: Sequence[str] = ("bad", "warn", "info")


def sort_by_need(items: Sequence[Item]) -> list[Item]:
    """Sort what stops messages to the front, then by tone."""
    return sorted(items, key=lambda item: (not item.stops_all, TONES.index(item.tone)))
