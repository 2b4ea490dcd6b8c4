"""The overview: counts by channel, and what needs attention."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.features.overview import attention
from imsg_console.features.overview.attention import Item
from imsg_console.features.overview.charts import draw_figures, make_address
from imsg_console.features.overview.figures import RANGES, Range
from imsg_console.features.overview.guide import Guide
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import element, heading, icon, link_to, mark_count, redraw, style_sheet
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.fields import read_search, search_field, toggle
from imsg_console.widgets.notices import notice

REFRESH_S = 20.0


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("overview")
    t = view.t
    chosen = RANGES.get(view.query.get("range", ""), RANGES["day"])
    username = view.query.get("username", "").replace("\0", "").strip()
    with page_head(t("layout.overview"), t("overview.lead")):
        _draw_ranges(view, chosen, username)
    with element("search", "line"):
        name_field = search_field(t("overview.username"), username, lambda: choose(read_search(name_field)))
    guide = Guide(view, element("div"))
    with element("div", "overview"):
        needs = element("section", "card")
        charts = element("div", "tiles")

    def choose(name: str) -> None:
        ui.navigate.to(make_address(chosen.name, name))

    async def refresh() -> None:
        await asyncio.gather(
            guide.draw(),
            draw_figures(view, charts, chosen, username),
            _draw_attention(view, needs, chosen, username),
        )

    await refresh()
    ui.timer(REFRESH_S, refresh, immediate=False)


def _draw_ranges(view: View, chosen: Range, username: str) -> None:
    names = {name: view.t(f"overview.{name}") for name in RANGES}
    toggle(view.t("overview.range"), names, chosen.name, lambda name: ui.navigate.to(make_address(name, username)))


async def _draw_attention(view: View, place: ui.element, chosen: Range, username: str) -> None:
    t, since = view.t, chosen.find_start(datetime.now(ZoneInfo(view.timezone)))
    searches: Sequence[Awaitable[list[Item]]] = (
        attention.find_faults(view),
        attention.find_dead_letters(view),
        attention.find_failures(view, since, username),
        attention.find_uncertain(view, since, username),
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
    with redraw(place):
        with ui.row().classes("justify-between"):
            heading(2, t("overview.attention"))
        for error in dict.fromkeys(errors):
            notice(t("overview.part_failed", why=error), "bad")
        if items:
            with element("ul", "needs"):
                for item in attention.sort_by_need(items):
                    _draw_item(item)
        elif not errors:
            _draw_calm(view, chosen)


def _draw_item(item: Item) -> None:
    with element("li", f"line need need-{item.tone}"):
        icon(item.symbol)
        with ui.column().classes("need-body"):
            element("strong", "", item.title)
            if item.text:
                element("span", "muted", item.text)
        step = link_to(item.step, item.target).classes("button")
        if item.rows:
            mark_count(step, item.rows)


def _draw_calm(view: View, chosen: Range) -> None:
    with ui.row(wrap=False):
        icon("task_alt")
        with element("div"):
            element("strong", "", view.t("overview.calm"))
            element("p", "muted", view.t("overview.calm_text", range=view.t(f"overview.{chosen.name}_said")))


PAGE = Page("/", "overview", Group.ADMIN, show, icon="space_dashboard")
