"""The overview: counts by channel, and what needs attention."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.features.overview import attention
from imsg_console.features.overview.attention import Item
from imsg_console.features.overview.figures import (
    COLOURS,
    KINDS,
    RANGES,
    Figures,
    Range,
    read_figures,
    write_labels,
    write_rate,
)
from imsg_console.message.filters import write_local
from imsg_console.view import Group, Page, View
from imsg_console.widgets import chips
from imsg_console.widgets.charts import Series, draw_legend, draw_stacked_bars
from imsg_console.widgets.elements import attrs, element, heading, icon, link_to, mark_count, style_sheet
from imsg_console.widgets.facts import draw_facts, page_head
from imsg_console.widgets.notices import notice
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column, Table

REFRESH_S = 20.0


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("overview")
    t = view.t
    chosen = RANGES.get(view.query.get("range", ""), RANGES["day"])
    with page_head(t("layout.overview"), t("overview.lead")):
        _draw_ranges(view, chosen)
    start, needs = element("div"), element("section", "card")
    charts = element("div", "tiles")

    async def refresh() -> None:
        await asyncio.gather(_draw_figures(view, charts, start, chosen), _draw_attention(view, needs))

    await refresh()
    ui.timer(REFRESH_S, refresh, immediate=False)


def _draw_ranges(view: View, chosen: Range) -> None:
    t = view.t
    with attrs(element("nav", "segments"), aria_label=t("overview.range")):
        for name in RANGES:
            link = attrs(
                element("a", "segment", t(f"overview.{name}")), href="/" if name == "day" else f"/?range={name}"
            )
            if name == chosen.name:
                attrs(link, aria_current="true")


async def _draw_figures(view: View, place: ui.element, start: ui.element, chosen: Range) -> None:
    t, zone = view.t, ZoneInfo(view.timezone)
    since = datetime.now(UTC) - chosen.back
    try:
        answer = await view.api.get("/api/v2/stats", bucket=chosen.bucket, since=since.isoformat())
        is_new = not any(bucket["counts"] for bucket in answer["buckets"]) and await _is_new(view)
    except ApiError as error:
        place.clear()
        with place:
            notice(t("overview.part_failed", why=error.detail or t("layout.unreachable")), "bad")
        return
    start.clear()
    if is_new:
        with start:
            _draw_first_steps(view)
    latencies = {one["method"]: one for one in answer["latencies"]}
    place.clear()
    with place:
        for one in read_figures(answer["buckets"]):
            first = datetime.fromisoformat(answer["buckets"][0]["start"])
            _draw_card(
                view,
                one,
                chosen,
                write_labels(answer["buckets"], chosen.bucket, zone),
                write_local(first, zone),
                latency=latencies.get(one.method, {}),
            )


def _draw_card(
    view: View, one: Figures, chosen: Range, names: Sequence[str], since: str, *, latency: Mapping[str, Any]
) -> None:
    t = view.t
    name, period = chips.method_name(t, one.method), t(f"overview.{chosen.name}_said")
    series = [Series(_kind(view, kind), COLOURS[kind], one.kinds[kind]) for kind in KINDS]
    with attrs(element("section", "stack card"), aria_label=name):
        with element("div", "spread"):
            with element("h2", "side-by-side"):
                icon(chips.METHODS[one.method])
                element("span", "", name)
            element("span", "muted", t("overview.all", n=f"{one.total:,}"))
        if not one.total:
            element("p", "muted", t("overview.nothing", channel=name, range=period))
            return
        sums = {kind: one.sum(kind) for kind in KINDS}
        draw_stacked_bars(names, series, t("overview.chart", channel=name, range=period, **sums))
        links = {_kind(view, kind): _messages(one.method, kind, since) for kind in KINDS}
        draw_legend([one for one in series if sum(one.values)], links)
        _draw_speed(view, one, latency)
        _draw_numbers(view, name, names, series)


def _draw_speed(view: View, one: Figures, latency: Mapping[str, Any]) -> None:
    """Draw which share was delivered, and how long it took."""
    t = view.t
    facts = [(t("overview.rate"), rate)] if (rate := write_rate(one)) else []
    for kind in ("sent", "delivered"):
        if took := latency.get(kind):
            half, most = (_write_seconds(view, took[name]) for name in ("p50_s", "p95_s"))
            facts.append((t(f"overview.time_to_{kind}"), t("overview.took", half=half, most=most)))
    if facts:
        draw_facts(facts)


def _write_seconds(view: View, seconds: int | None) -> str:
    if seconds is None:
        return view.t("overview.over_a_day")
    for unit, size in (("hours", 3_600), ("minutes", 60)):
        if seconds >= size:
            return view.t(f"overview.{unit}", n=seconds // size)
    return view.t("overview.seconds", n=seconds)


def _draw_numbers(view: View, name: str, names: Sequence[str], series: Sequence[Series]) -> None:
    """Draw the numbers of a chart as a table, for readers of screens and for who wants them exactly."""
    t = view.t
    with ui.expansion(t("overview.numbers")).props("dense").classes("numbers"):
        columns = [Column("time", t("overview.time"), lambda row: row["time"], is_main=True)]
        columns += [Column(f"n{n}", one.name, partial(_get_number, n=n)) for n, one in enumerate(series)]
        table = Table(view, name, columns, key="time")
        rows = [{"time": label, "counts": [one.values[at] for one in series]} for at, label in enumerate(names)]
        table.show([row for row in rows if any(row["counts"])])


def _get_number(row: Row, n: int) -> str:
    return f"{row['counts'][n]:,}"


def _kind(view: View, kind: str) -> str:
    return view.t.get(f"overview.{kind}_kind", "") or view.t(f"overview.{kind}")


def _messages(method: str, kind: str, since: str) -> str:
    return f"/messages?{urlencode({'method': method, 'status': ','.join(KINDS[kind]), 'since': since})}"


async def _draw_attention(view: View, place: ui.element) -> None:
    t, now = view.t, datetime.now(UTC)
    searches: Sequence[Awaitable[list[Item]]] = (
        attention.find_stopped_channels(view),
        attention.find_dead_letters(view),
        attention.find_failures(view, now),
        attention.find_uncertain(view, now),
        attention.find_used_limits(view),
    )
    answers = await asyncio.gather(*searches, return_exceptions=True)
    items: list[Item] = []
    errors: list[str] = []
    for answer in answers:
        if isinstance(answer, ApiError):
            errors.append(answer.detail or t("layout.unreachable"))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            items += answer
    place.clear()
    with place:
        with element("div", "spread"):
            heading(2, t("overview.attention"))
        for error in dict.fromkeys(errors):
            notice(t("overview.part_failed", why=error), "bad")
        if items:
            with element("ul", "needs"):
                for item in attention.sort_by_need(items):
                    _draw_item(item)
        elif not errors:
            _draw_calm(view)


def _draw_item(item: Item) -> None:
    with element("li", f"line need need-{item.tone}"):
        icon(item.symbol)
        with element("div", "stack need-body"):
            element("strong", "", item.title)
            if item.text:
                element("span", "muted", item.text)
        step = link_to(item.step, item.target).classes("button")
        if item.rows:
            mark_count(step, item.rows)


def _draw_calm(view: View) -> None:
    with element("div"):
        icon("task_alt")
        with element("div"):
            element("strong", "", view.t("overview.calm"))
            element("p", "muted", view.t("overview.calm_text"))


async def _is_new(view: View) -> bool:
    """Tell whether nothing has ever been sent."""
    answer = await view.api.get("/api/v2/messages", limit=1)
    return not answer["messages"]


def _draw_first_steps(view: View) -> None:
    t = view.t
    see = "sandbox" if view.has_sandbox else "real"
    steps = (
        ("person_add", t("overview.first_user"), t("overview.first_user_text"), "/users?new=1"),
        ("send", t("overview.first_send"), t("overview.first_send_text"), "/send"),
        (
            "mark_email_read",
            t("overview.first_see"),
            t(f"overview.first_see_{see}"),
            "/inbox" if view.has_sandbox else "/messages",
        ),
    )
    with attrs(element("section", "card first"), aria_label=t("overview.first_title")):
        heading(2, t("overview.first_title"))
        element("p", "muted", t("overview.first_text"))
        with element("ol", "tiles"):
            for number, (symbol, title, text, target) in enumerate(steps, 1):
                with element("li"), attrs(element("a", "card side-by-side"), href=target):
                    element("span", "step-number", str(number))
                    with element("span", "stack"):
                        element("strong", "", title)
                        element("span", "muted", text)
                    icon(symbol)


PAGE = Page("/", "overview", Group.ADMIN, show, icon="space_dashboard")
