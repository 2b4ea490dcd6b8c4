"""Usage: a month's messages by day as a chart, and by user, channel and more as a table."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from nicegui import ui

from imsg_console.client import ApiError, path
from imsg_console.features.usage.figures import (
    KINDS,
    MEASURES,
    count_kinds,
    find_span,
    list_days,
    list_months,
    sum_all,
    sum_by,
)
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import chips, exports
from imsg_console.widgets.charts import Series, draw_legend, draw_stacked_bars
from imsg_console.widgets.costs import write_costs
from imsg_console.widgets.elements import element, redraw
from imsg_console.widgets.exports import download_button
from imsg_console.widgets.facts import card, draw_facts, page_head
from imsg_console.widgets.fields import choice_field
from imsg_console.widgets.notices import empty, toast
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column, Table

REPORTS = "/api/v2/reports"

WAIT_S, POLL_S = 20.0, 0.1

MAX_SHOWN = 80

DIMENSIONS = ("user", "method", "provider", "template", "category")


async def show(view: View) -> None:
    """Draw the page."""
    usage = Usage(view)
    usage.draw()
    await usage.load()


class Usage:
    """The month, what it is broken down by, and the sums."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._zone = ZoneInfo(view.timezone)
        self._months = list_months(datetime.now(self._zone).date())
        self._dimensions = DIMENSIONS if view.session.sees_all else DIMENSIONS[1:]
        month, by = view.query.get("month", ""), view.query.get("by", "")
        self._month = month if month in self._months else self._months[0]
        self._by = by if by in self._dimensions else self._dimensions[0]
        self._rows: Sequence[Row] = ()

    def draw(self) -> None:
        """Draw everything but the sums."""
        t = self._t
        with page_head(t("layout.usage"), t("usage.lead", zone=self._view.timezone)):
            download_button(t, t("usage.export"), self._export)
        with element("search", "line"):
            self._month_field = choice_field(t("usage.month"), self._months, self._month, self._choose)
            names = {name: t(f"usage.{name}") for name in self._dimensions}
            self._by_field = choice_field(t("usage.by"), names, self._by, self._choose)
        self._place = ui.column()

    async def _choose(self) -> None:
        self._month, self._by = str(self._month_field.value), str(self._by_field.value)
        self._view.replace_query(month=self._month, by=self._by)
        self._rows = ()
        self._place.clear()  # sums of another month must not be shown under this one's name
        await self.load()

    async def load(self) -> None:
        """Read the month, and draw it."""
        chosen = self._month, self._by
        since, until = find_span(self._month, self._zone)
        body = {
            "kind": "usage",
            "by": [self._by, "day"],
            "since": since.isoformat(),
            "until": until.isoformat(),
        }
        rows = await _read_report(self._view, body)
        if chosen != (self._month, self._by):
            return  # another was chosen meanwhile
        self._rows = sum_by(rows, self._by)
        with redraw(self._place):
            if rows:
                self._draw_chart(rows)
                self._draw_table()
            else:
                empty(self._t("usage.nothing", month=self._month), self._t("usage.nothing_text"), "bar_chart")

    def _draw_chart(self, rows: Sequence[Row]) -> None:
        t = self._t
        by_day = {row["day"]: count_kinds(row) for row in sum_by(rows, "day")}
        days = list_days(self._month, self._zone)
        series = [
            Series(t(f"usage.{kind}"), colour, tuple(by_day.get(day, {}).get(kind, 0) for day in days))
            for kind, colour in KINDS.items()
        ]
        sums = sum_all(rows)
        with card(t("usage.total", month=self._month)):
            facts = [(t(f"usage.{name}"), f"{sums[name]:,}") for name in MEASURES]
            draw_facts([*facts, (t("usage.cost"), write_costs(t, sums["cost"]) or "–")])
            text = t("usage.chart", month=self._month, **{name: f"{sums[name]:,}" for name in MEASURES})
            draw_stacked_bars([day[5:] for day in days], series, text)
            draw_legend([bar for bar in series if sum(bar.values)], {})

    def _draw_table(self) -> None:
        t = self._t
        columns = [Column("name", t(f"usage.{self._by}"), self._name, self._name, is_main=True)]
        for measure in MEASURES:
            number = partial(_write_number, measure=measure)
            columns.append(Column(measure, t(f"usage.{measure}"), number, partial(_read_number, measure=measure)))
        columns.append(Column("cost", t("usage.cost"), lambda row: write_costs(t, row["cost"])))
        with card(t("usage.table", by=t(f"usage.{self._by}"))):
            Table(self._view, t("layout.usage"), columns, key=self._by).show(self._rows)

    def _name(self, row: Row) -> str:
        value = str(row[self._by])
        if not value:
            return self._t("usage.none")
        named: Mapping[str, Callable[[], str]] = {
            "method": lambda: chips.method_name(self._t, value),
            "category": lambda: self._t.get(f"usage.category_{value}", value),
        }
        return named[self._by]() if self._by in named else line(value, MAX_SHOWN)

    def _export(self, kind: str) -> None:
        if not self._rows:
            toast(self._t("usage.nothing", month=self._month))
            return
        currencies = sorted({cost["currency"] for row in self._rows for cost in row["cost"]})
        names = [self._t(f"usage.{name}") for name in (self._by, *MEASURES)]
        names += [f"{self._t('usage.cost')} {currency}" for currency in currencies]
        rows = [
            [self._name(row), *(row[name] for name in MEASURES), *_list_amounts(row, currencies)] for row in self._rows
        ]
        name = f"iMSG {self._t('layout.usage')} {self._month}"
        ui.navigate.to(exports.offer_rows(self._view, name, names, rows, kind=kind, texts=(0,)))


async def _read_report(view: View, body: Mapping[str, Any]) -> list[Row]:
    """Make a report, and return its rows. Raises ApiError, SessionOver."""
    url = path(REPORTS, (await view.api.post(REPORTS, body))["id"])
    report: dict[str, Any] = {"state": "waiting"}
    try:
        async with asyncio.timeout(WAIT_S):
            while report["state"] in ("waiting", "running"):
                await asyncio.sleep(POLL_S)
                report = await view.api.get(url)
    except TimeoutError as error:
        raise ApiError("unreachable", view.t("usage.late")) from error
    if report["url"] is None:
        raise ApiError("unreachable", view.t("usage.late"))
    rows: list[Row] = (await view.api.get(report["url"]))["rows"]
    return rows


def _list_amounts(row: Row, currencies: Sequence[str]) -> list[float | None]:
    """Return the amount of each currency, as a number that a spreadsheet adds up."""
    amounts = {cost["currency"]: float(cost["amount"]) for cost in row["cost"]}
    return [amounts.get(currency) for currency in currencies]


def _read_number(row: Row, measure: str) -> int:
    return int(row[measure])


def _write_number(row: Row, measure: str) -> str:
    return f"{row[measure]:,}"


PAGE = Page("/usage", "usage", Group.USER, show, icon="bar_chart")
