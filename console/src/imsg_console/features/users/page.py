"""Users: who may send, how much, and what of it is used."""

from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from imsg_console.features.users import bulk, form, import_file
from imsg_console.features.users.records import MOST_NAME
from imsg_console.features.users.table import Listing, find_user
from imsg_console.near_limits import near_limits
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import attrs, button, element, heading, link_to, style_sheet
from imsg_console.widgets.fields import text_field
from imsg_console.widgets.formats import download_button
from imsg_console.widgets.notices import empty
from imsg_console.widgets.tables import Chosen, PagedTable, Row

PAGE_ROWS = 25


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("users")
    board = Board(view)
    board.draw()
    await board.table.load()
    if view.query.get("new"):
        await _later(lambda: form.create(view, board.reload))
    elif name := view.query.get("edit"):
        user = await find_user(view, name)
        if user is not None:
            await _later(lambda: form.edit(view, user, board.reload))


class Board:
    """The page: search, list, and what is chosen."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._search = view.query.get("search", "").replace("\0", "").strip()
        self._only_near = view.query.get("near") == "1" and not self._search
        self._chosen = Chosen(on_change=self._show_chosen)

    def draw(self) -> None:
        """Draw everything but the rows."""
        view, t = self._view, self._view.t
        with element("div", "spread page-head"):
            with element("div"):
                heading(1, t("layout.users"))
                element("p", "page-lead", t("users.lead"))
            with element("div", "actions"):
                button(t("users.import"), lambda: import_file.ask(view, self.reload), symbol="upload")
                download_button(t, t("users.export"), lambda kind: import_file.export(view, self._search, (), kind))
                button(t("users.new"), lambda: form.create(view, self.reload), kind="main", symbol="person_add")
        with attrs(element("search", "side-by-side user-tools")):
            self.field = text_field(t("users.search"), self._search, kind="search", most=254)
            self.field.props('clearable debounce="300"').classes("user-search")
            self.field.on_value_change(self._search_for)
            attrs(button(t("users.refresh"), self.reload, kind="quiet", symbol="refresh"))
        if self._only_near:
            with element("div", "notice notice-info"):
                element("span", "", t("users.only_near"))
                link_to(t("users.show_all"), "/users")
        self._bar = attrs(element("div", "several"), role="region", aria_label=t("users.several"))
        listing = Listing(view, self.reload)
        self.table = PagedTable(
            view,
            t("users.caption"),
            listing.columns(),
            self._load,
            key=lambda user: str(user["username"]),
            name=lambda user: line(user["username"], MOST_NAME),
            when_empty=self._empty,
            chosen=self._chosen,
        )
        self._show_chosen()

    async def reload(self) -> None:
        """Show the page of the list anew; what is chosen stays chosen, as it is now."""
        await self.table.reload()
        for user in self.table.rows:
            if user["username"] in self._chosen.rows:
                self._chosen.rows[user["username"]] = user

    async def _load(self, cursor: str) -> tuple[list[Row], str | None]:
        if self._only_near:
            return await near_limits(self._view.api), None
        answer = await self._view.api.get("/api/v2/users", search=self._search, limit=PAGE_ROWS, cursor=cursor)
        return answer["users"], answer["next"]

    async def _search_for(self) -> None:
        self._search = str(self.field.value or "").replace("\0", "").strip()
        self._only_near = False
        query = urlencode({"search": self._search}) if self._search else ""
        ui.navigate.history.replace(f"/users?{query}" if query else "/users")
        await self.table.load()

    def _empty(self) -> None:
        t = self._view.t
        if self._only_near:
            empty(t("users.none_near"), "", "task_alt", action=t("users.show_all"), target="/users")
            return
        if self._search:
            title = t("users.none_title", search=line(self._search, 40))
            empty(title, t("users.none_text"), "search_off", action=t("users.search_clear"), target="/users")
        else:
            empty(t("users.empty_title"), t("users.empty_text"), "group", action=t("users.new"), target="/users?new=1")

    def _show_chosen(self) -> None:
        """Draw what can be done with those who are chosen; nothing where nobody is."""
        t, number = self._view.t, len(self._chosen.rows)
        self._bar.set_visibility(bool(number))
        self._bar.clear()
        if not number:
            return
        with self._bar:
            element("strong", "", t("layout.chosen", n=number))
            with element("div", "actions"):
                button(t("users.set_limits"), self._limits, symbol="speed")
                button(t("users.allow"), lambda: self._change({"available": True}), symbol="check_circle")
                button(t("users.stop"), self._stop, symbol="block")
                download_button(t, t("users.export_chosen"), self._export)
                button(t("users.delete"), self._remove, symbol="delete")
                button(t("users.clear"), self._clear, kind="quiet")

    async def _limits(self) -> None:
        fields = await bulk.ask_limits(self._view, len(self._chosen.rows))
        if fields:
            self._change(fields)

    async def _stop(self) -> None:
        if await bulk.ask_agreement(self._view, "stop", len(self._chosen.rows)):
            self._change({"available": False})

    async def _remove(self) -> None:
        if await bulk.ask_agreement(self._view, "delete", len(self._chosen.rows)):
            bulk.remove(self._view, list(self._chosen.rows.values()), self._after)

    def _change(self, fields: dict[str, Any]) -> None:
        bulk.change(self._view, list(self._chosen.rows.values()), fields, self._after)

    def _export(self, kind: str) -> None:
        import_file.export(self._view, self._search, list(self._chosen.rows.values()), kind)

    async def _clear(self) -> None:
        self._chosen.clear()
        await self.table.reload()

    async def _after(self) -> None:
        await self._clear()


async def _later(do: Any) -> None:  # noqa: ANN401  a coroutine function
    """Do it once the page is there: a dialog wants a browser."""
    ui.timer(0.0, do, once=True)


PAGE = Page("/users", "users", Group.ADMIN, show, icon="group")
