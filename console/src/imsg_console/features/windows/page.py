"""Windows and holidays, changed by administrators, and the requests that they hold."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from nicegui import ui

from imsg_channels import METHODS
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import button, heading, redraw
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.forms import Field, FieldMaker, Form, ask_form
from imsg_console.widgets.notices import notice, toast
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Load, Loaded, Position, Row
from imsg_console.widgets.tables import Actions, Column

WINDOWS, HOLIDAYS, REQUESTS = "/api/v2/windows", "/api/v2/holidays", "/api/v2/requests"
FIELDS = ("id", "methods", "categories", "zone", "days", "from", "to", "holidays")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CATEGORIES = ("notice", "marketing")
MAX_NAME = 64


async def show(view: View) -> None:
    """Draw the page."""
    windows = Windows(view)
    windows.draw()
    await windows.load()


class Windows:
    """The lists of the page."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._windows: Sequence[Row] = ()
        self._days: Mapping[str, str] = {}
        self._tags: dict[str, str] = {}

    def draw(self) -> None:
        """Draw everything but the rows."""
        t = self._t
        with page_head(t("layout.windows"), t("windows.lead")):
            if self._view.may("PUT /windows"):
                button(t("windows.add"), self._add, kind="main", symbol="add")
        self._notices = ui.column()
        columns = [
            Column("id", t("windows.id"), lambda row: line(row["id"], MAX_NAME), is_main=True),
            Column("what", t("windows.what"), self._what),
            Column("hours", t("windows.hours"), self._hours),
            Column("actions", t("windows.actions"), self._actions),
        ]
        actions = {"change": self._change, "release_all": self._release_all, "remove": self._remove}
        windows = self._draw_list("windows", columns, self._load_windows, key="id", actions=actions)
        with ui.row().classes("justify-between"):
            heading(2, t("windows.holidays"))
            if self._view.may("PUT /holidays"):
                button(t("windows.add_day"), self._add_day, symbol="add")
        columns = [
            Column("day", t("windows.day"), lambda row: row["day"], is_main=True),
            Column("kind", t("windows.kind"), lambda row: t(f"windows.kind_{row['kind']}")),
            Column("actions", t("windows.actions"), self._day_actions),
        ]
        days = self._draw_list("holidays", columns, self._load_days, key="day", actions={"remove": self._remove_day})
        heading(2, t("windows.held"))
        columns = [
            Column("request", t("windows.request"), self._request, is_main=True),
            Column("until", t("windows.until"), lambda row: self._view.times.full(row["held_until"])),
            Column("by", t("windows.by"), lambda row: line(row["held_by"], MAX_NAME)),
            Column("actions", t("windows.actions"), self._held_actions),
        ]
        held = self._draw_list("held", columns, self._load_held, key="id", actions={"release": self._release})
        self._tables = (windows, days, held)

    def _draw_list(self, name: str, columns: Sequence[Column], load: Load, *, key: str, actions: Actions) -> PagedTable:
        caption = self._t("layout.windows" if name == "windows" else f"windows.{name}")
        return PagedTable(self._view, caption, columns, load, key=key, texts=name, symbol="bedtime", actions=actions)

    async def load(self) -> None:
        """Read and draw all lists."""
        for table in self._tables:
            await table.load()

    async def _load_windows(self, _: Position) -> Loaded:
        answer = await self._view.api.get(WINDOWS)
        self._windows, self._tags[WINDOWS] = answer["windows"], answer["etag"]
        with redraw(self._notices):
            for year in answer["unknown_years"]:
                notice(self._t("windows.unknown_year", year=str(year)), "warn")
        return Loaded(self._windows, None)

    async def _load_days(self, _: Position) -> Loaded:
        answer = await self._view.api.get(HOLIDAYS)
        self._days, self._tags[HOLIDAYS] = answer["holidays"], answer["etag"]
        return Loaded([{"day": day, "kind": kind} for day, kind in self._days.items()], None)

    async def _load_held(self, position: Position) -> Loaded:
        answer = await self._view.api.get(REQUESTS, state="held", **position)
        return Loaded([row for row in answer["requests"] if row["held_until"]], answer["next"])

    def _what(self, row: Row) -> Cell:
        t = self._t
        names = [t(f"windows.category_{category}") for category in row["categories"]]
        return [*(cells.method(t, method) for method in row["methods"]), cells.muted(t.join_names(names))]

    def _hours(self, row: Row) -> Cell:
        t = self._t
        days = t.join_names(t(f"windows.{day}") for day in DAYS if day in row["days"])
        next_day = t("windows.next_day") if row["to"] <= row["from"] else ""
        holidays = [cells.muted(t("windows.without_holidays"))] if row["holidays"] == "cn" else []
        hours = line(f"{row['from']}–{next_day}{row['to']} {row['zone']}", MAX_NAME)
        every_day = t("windows.every_day") if set(row["days"]) == set(DAYS) else days
        return [cells.text(hours), cells.muted(every_day), *holidays]

    def _request(self, row: Row) -> Cell:
        shown = line(row["subject"] or row["reference"] or row["to"] or row["id"], MAX_NAME)
        count = self._t("windows.recipients", count=row["recipients"])
        return [
            cells.link(shown, f"/messages?id={row['id']}"),
            cells.method(self._t, row["method"]),
            cells.muted(count),
        ]

    def _actions(self, row: Row) -> Cell:
        t, name = self._t, line(row["id"], MAX_NAME)
        changes = (("change", "edit", "PUT /windows"), ("remove", "delete", "PUT /windows"))
        return [
            cells.button(action, t(f"windows.{action}"), t(f"windows.{action}_of", name=name), icon=icon, kind="quiet")
            for action, icon, operation in (("release_all", "send", "POST /requests/release"), *changes)
            if self._view.may(operation)
        ]

    def _held_actions(self, row: Row) -> Cell:
        if not self._view.may("POST /requests/{id}/release"):
            return None
        name = self._t("windows.release_of", name=line(row["subject"] or row["id"], MAX_NAME))
        return cells.button("release", self._t("windows.release"), name, icon="send", kind="quiet")

    def _day_actions(self, row: Row) -> Cell:
        if not self._view.may("PUT /holidays"):
            return None
        name = self._t("windows.remove_of", name=row["day"])
        return cells.button("remove", self._t("windows.remove"), name, icon="delete", kind="quiet")

    async def _add(self) -> None:
        await self._ask({"id": "", "methods": ["sms"], "categories": ["marketing"], "zone": self._view.timezone,
                         "days": list(DAYS), "from": "08:00", "to": "21:00", "holidays": "none"}, None)  # fmt: skip

    async def _change(self, row: Row) -> None:
        await self._ask(row, row["id"])

    async def _ask(self, row: Mapping[str, Any], known: str | None) -> None:
        t = self._t

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            given = form.read()
            window = {**given, **{name: given[name].strip() for name in ("id", "zone", "from", "to")}}
            others = [{name: other[name] for name in FIELDS} for other in self._windows if other["id"] != known]
            return await self._replace(WINDOWS, {"windows": [*others, window]})

        make = FieldMaker(t, "windows.", row)
        one_at_least, missing = t("windows.missing_choice"), t("windows.missing")
        categories = {name: t(f"windows.category_{name}") for name in CATEGORIES}
        holidays = {"none": t("windows.holidays_none"), "cn": t("windows.holidays_cn")}
        fields = [
            make("id", max_length=64, empty=missing),
            make("methods", "choices", options={name: method_name(t, name) for name in METHODS}, empty=one_at_least),
            make("categories", "choices", options=categories, empty=one_at_least),
            make("days", "choices", options={day: t(f"windows.{day}") for day in DAYS}, empty=one_at_least),
            *(make(name, max_length=5, empty=missing) for name in ("from", "to")),
            make("zone", max_length=64, empty=missing),
            Field("holidays", t("windows.holidays_field"), row["holidays"], "choice", options=holidays),
        ]
        title = t("windows.change_title") if known else t("windows.add_title")
        if await ask_form(self._view, title, fields, t("windows.save"), save, text=t("windows.add_text")):
            await self._done()

    async def _add_day(self) -> None:
        t = self._t
        today = date.today().isoformat()  # noqa: DTZ011  a first guess
        make = FieldMaker(t, "windows.", {"day": today, "kind": "holiday"})
        kinds = {kind: t(f"windows.kind_{kind}") for kind in ("holiday", "workday")}

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            given = form.read()
            return await self._replace(HOLIDAYS, {"holidays": {**self._days, given["day"]: given["kind"]}})

        fields = [
            make("day", "date", empty=t("windows.missing")),
            make("kind", "choice", options=kinds),
        ]
        if await ask_form(self._view, t("windows.day_title"), fields, t("windows.save"), save):
            await self._done()

    async def _remove(self, row: Row) -> None:
        t, name = self._t, line(row["id"], MAX_NAME)
        title, text = t("windows.remove_title", name=name), t("windows.remove_text")
        if await confirm(self._view, title, text, t("windows.remove")):
            left = [{field: window[field] for field in FIELDS} for window in self._windows if window["id"] != row["id"]]
            await self._replace(WINDOWS, {"windows": left})
            await self._done()

    async def _remove_day(self, row: Row) -> None:
        left = {day: kind for day, kind in self._days.items() if day != row["day"]}
        await self._replace(HOLIDAYS, {"holidays": left})
        await self._done()

    async def _release(self, row: Row) -> None:
        await self._view.api.call("POST", f"{REQUESTS}/{row['id']}/release", {})
        await self._done()

    async def _release_all(self, row: Row) -> None:
        t, name = self._t, line(row["id"], MAX_NAME)
        title, text = t("windows.release_title", name=name), t("windows.release_text")
        if await confirm(self._view, title, text, t("windows.release_all")):
            answer = await self._view.api.call("POST", f"{REQUESTS}/release", {"held_by": row["id"]})
            toast(t("windows.released", count=answer["released"]))
            await self.load()

    async def _replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._view.api.put(path, body, self._tags[path])

    async def _done(self) -> None:
        toast(self._t("windows.done"))
        await self.load()


PAGE = Page("/windows", "windows", Group.ADMIN, show, icon="bedtime")
