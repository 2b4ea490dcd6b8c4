"""The charts of the overview: each channel, the causes of failures, and who sent most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui

from imsg_console.client import ApiError, make_url
from imsg_console.features.overview import attention
from imsg_console.features.overview.figures import (
    CAUSE_COLOURS,
    COLOURS,
    KINDS,
    Cause,
    Figures,
    Range,
    read_causes,
    read_figures,
    write_labels,
    write_rate,
    write_rate_of_user,
)
from imsg_console.message.filters import write_local
from imsg_console.view import View
from imsg_console.widgets import cells, chips
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.charts import Series, draw_legend, draw_stacked_bars
from imsg_console.widgets.elements import attrs, element, heading, icon, redraw
from imsg_console.widgets.facts import draw_facts
from imsg_console.widgets.notices import notice
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column, Table

MAX_USERS = 20


def make_address(range_name: str, username: str) -> str:
    """Return the address of the overview of a range, and of one user where one is named."""
    return make_url("/", range="" if range_name == "day" else range_name, username=username)


async def draw_figures(view: View, place: ui.element, chosen: Range, username: str) -> None:
    """Draw the counts of a range; where they cannot be had, why."""
    t, zone = view.t, ZoneInfo(view.timezone)
    since = chosen.find_start(datetime.now(zone))
    try:
        answer = await view.api.get("/api/v2/stats", bucket=chosen.bucket, since=since.isoformat(), username=username)
    except ApiError as error:
        with redraw(place):
            notice(t("overview.part_failed", why=error.detail or t("layout.unreachable")), "bad")
        return
    latencies = {latency["method"]: latency for latency in answer["latencies"]}
    with redraw(place):
        times = Times(
            write_labels(answer["buckets"], chosen.bucket, zone),
            [write_local(datetime.fromisoformat(bucket["start"]), zone) for bucket in answer["buckets"]],
            username,
        )
        for figure in read_figures(answer["buckets"]):
            _draw_card(view, figure, chosen, times, latency=latencies.get(figure.method, {}))
        _draw_causes(view, read_causes(answer["failures"]), chosen, times)
        _draw_users(view, answer["users"], chosen, times)


@dataclass(frozen=True, slots=True)
class Times:
    """The places of a chart, and whose messages are in it."""

    labels: Sequence[str]
    starts: Sequence[str]
    """As the list of messages reads its `since` and `until`."""
    username: str

    def list_messages(self, place: int | None = None, **filters: str) -> str:
        """Return the address of the list of the messages of a place; None: of all places."""
        since = self.starts[place or 0]
        until = "" if place is None or place + 1 == len(self.starts) else self.starts[place + 1]
        return make_url("/messages", **filters, username=self.username, since=since, until=until)


def _draw_card(view: View, figures: Figures, chosen: Range, times: Times, *, latency: Mapping[str, Any]) -> None:
    t = view.t
    name, period = chips.method_name(t, figures.method), t(f"overview.{chosen.name}_said")
    series = [Series(_kind(view, kind), COLOURS[kind], figures.kinds[kind]) for kind in KINDS]
    with attrs(element("section", "stack card"), aria_label=name):
        with ui.row().classes("justify-between"):
            with element("h2", "side-by-side"):
                icon(chips.METHODS[figures.method])
                element("span", "", name)
            element("span", "muted", t("overview.all", n=f"{figures.total:,}"))
        if not figures.total:
            element("p", "muted", t("overview.nothing", channel=name, range=period))
            return
        sums = {kind: figures.sum(kind) for kind in KINDS}
        statuses = {_kind(view, kind): ",".join(KINDS[kind]) for kind in KINDS}

        def link(bar: Series, place: int | None = None) -> str:
            return times.list_messages(place, method=figures.method, status=statuses[bar.name])

        draw_stacked_bars(times.labels, series, t("overview.chart", channel=name, range=period, **sums), link)
        draw_legend([bar for bar in series if sum(bar.values)], {bar.name: link(bar) for bar in series})
        _draw_speed(view, figures, latency)
        _draw_numbers(view, name, times, series, link)


def _draw_causes(view: View, causes: Sequence[Cause], chosen: Range, times: Times) -> None:
    """Draw the failures of all channels by their causes."""
    t = view.t
    if not causes:
        return
    names = {cause: _name_cause(view, cause) for cause in causes}
    series = [Series(names[cause], colour, cause.counts) for cause, colour in zip(causes, CAUSE_COLOURS, strict=False)]
    filters = {names[cause]: {"method": cause.method, "code": cause.code} for cause in causes if cause.code}

    def link(bar: Series, place: int | None = None) -> str:
        # No filter finds the messages without a code, or those of all other causes, and no others.
        named = filters.get(bar.name)
        return times.list_messages(place, status="failed", **named) if named else ""

    title = t("overview.causes")
    with attrs(element("section", "stack card"), aria_label=title):
        with ui.row().classes("justify-between"):
            heading(2, title)
            element("span", "muted", t("overview.all", n=f"{sum(cause.total for cause in causes):,}"))
        counts = " · ".join(f"{names[cause]} {cause.total:,}" for cause in causes)
        text = t("overview.causes_chart", range=t(f"overview.{chosen.name}_said"), counts=counts)
        draw_stacked_bars(times.labels, series, text, link)
        draw_legend(series, {bar.name: link(bar) for bar in series})
        _draw_numbers(view, title, times, series, link)


def _draw_users(view: View, users: Sequence[Row], chosen: Range, times: Times) -> None:
    """Draw what each user sent by each channel, those with the most messages first."""
    t, failed = view.t, ",".join(KINDS["failed"])
    if not users:
        return

    def link(count: int, row: Row, status: str = "") -> Cell:
        target = replace(times, username=row["username"]).list_messages(
            method=row["method"], status=status, by="recipient"
        )
        return cells.link(f"{count:,}", target, count) if count else "0"

    def name(row: Row) -> Cell:
        return cells.link(row["username"], make_address(chosen.name, row["username"]))

    columns = [
        Column("user", t("overview.username"), name, is_main=True),
        Column("method", t("overview.channel"), lambda row: cells.method(t, row["method"])),
        Column("messages", t("overview.messages"), lambda row: link(row["messages"], row)),
        Column("rate", t("overview.rate"), lambda row: write_rate_of_user(row) or "—"),
        Column("failed", t("overview.failed_kind"), lambda row: link(row["failed"], row, failed)),
    ]
    with element("section", "stack card wide"):  # its table is the landmark of this name
        heading(2, t("overview.users"))
        table = Table(view, t("overview.users"), columns, key="key")
        table.show([{**row, "key": f"{row['method']} {row['username']}"} for row in users[:MAX_USERS]])


def _name_cause(view: View, cause: Cause) -> str:
    if not cause.method:
        return view.t("overview.causes_rest")
    return f"{chips.method_name(view.t, cause.method)} · {attention.name_cause(view.t, cause.method, cause.code)}"


def _draw_speed(view: View, figures: Figures, latency: Mapping[str, Any]) -> None:
    """Draw which share was delivered, and how long it took."""
    t = view.t
    facts = [(t("overview.rate"), rate)] if (rate := write_rate(figures)) else []
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


Link = Callable[[Series, int], str]


def _draw_numbers(view: View, name: str, times: Times, series: Sequence[Series], link: Link) -> None:
    """Draw the numbers of a chart as a table, each a link: for screen readers and for exact values."""
    t = view.t
    with ui.expansion(t("overview.numbers")).props("dense"):
        columns = [Column("time", t("overview.time"), lambda row: row["time"], is_main=True)]
        columns += [
            Column(f"n{n}", bar.name, partial(_link_number, bar=bar, link=link)) for n, bar in enumerate(series)
        ]
        table = Table(view, name, columns, key="place")
        places = [place for place in range(len(times.labels)) if any(bar.values[place] for bar in series)]
        table.show([{"place": place, "time": times.labels[place]} for place in places])


def _link_number(row: Row, bar: Series, link: Link) -> Cell:
    count = bar.values[row["place"]]
    target = link(bar, row["place"]) if count else ""
    return cells.link(f"{count:,}", target) if target else f"{count:,}"


def _kind(view: View, kind: str) -> str:
    return view.t.get(f"overview.{kind}_kind", "") or view.t(f"overview.{kind}")
