"""What people wrote back, newest first; a user sees what answers their own messages."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from nicegui import ui
from nicegui.element import Element

from imsg_console.sanitize import line
from imsg_console.time_format import TimeFormat
from imsg_console.view import Group, Page, View
from imsg_console.widgets.chips import chip
from imsg_console.widgets.elements import attrs, button, element, heading, link_to, style_sheet
from imsg_console.widgets.fields import text_field
from imsg_console.widgets.notices import empty
from imsg_console.widgets.tables import Column, PagedTable, Row

PAGE_ROWS = 25
MOST_TEXT = 600
MOST_SENDER = 254


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("users")
    await Board(view).show()


class Board:
    """The page: who wrote is sought, replies are listed."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._sender = view.query.get("from", "").replace("\0", "").strip()
        self._moments = TimeFormat(view.timezone, english=view.t.language == "en")

    async def show(self) -> None:
        """Draw it, and load the newest."""
        t = self._view.t
        heading(1, t("layout.replies"))
        element("p", "page-lead", t("replies.lead_all" if self._view.session.is_admin else "replies.lead"))
        with attrs(element("search", "side-by-side user-tools")):
            self._field = text_field(t("replies.search"), self._sender, kind="search", most=MOST_SENDER)
            self._field.props('clearable debounce="300"').classes("user-search")
            self._field.on_value_change(self._search)
            button(t("replies.refresh"), self._refresh, kind="quiet", symbol="refresh")
        self._table = PagedTable(
            self._view,
            t("layout.replies"),
            self._columns(),
            self._load,
            key=lambda row: str(row["id"]),
            when_empty=self._empty,
        )
        await self._table.load()

    def _columns(self) -> list[Column]:
        t = self._view.t
        columns = [
            Column(t("replies.from"), lambda row: line(row["from"], MOST_SENDER), "main"),
            Column(t("replies.text"), self._text),
            Column(t("replies.answers"), self._link_answered),
            Column(t("replies.at"), self._at),
        ]
        if self._view.session.is_admin:
            columns.insert(3, Column(t("replies.username"), lambda row: line(row["username"] or "—", MOST_SENDER)))
        return columns

    def _text(self, row: Row) -> Element:
        t = self._view.t
        with element("div", "stack tight") as drawn:
            if row["text"] is None:
                element("span", "muted", t("replies.erased"))
            else:
                element("span", "wrap-anywhere", line(row["text"], MOST_TEXT) or "—")
            if row["opt_out"]:
                chip(t("replies.opt_out"), "notifications_off", "warn")
        return drawn

    def _link_answered(self, row: Row) -> str | Element:
        message, t = row["message"], self._view.t
        if message is None:
            return "—"
        return link_to(line(row["reference"] or "", 60) or t("replies.message"), f"/messages/{message}")

    def _at(self, row: Row) -> str:
        return self._moments.short(row["at"], datetime.now(UTC))

    async def _load(self, cursor: str) -> tuple[list[Row], str | None]:
        asked = {"limit": PAGE_ROWS, "cursor": cursor, **({"from": self._sender} if self._sender else {})}
        answer = await self._view.api.get("/api/v2/replies", **asked)
        return answer["replies"], answer["next"]

    async def _refresh(self) -> None:
        await self._table.load()

    async def _search(self) -> None:
        self._sender = str(self._field.value or "").replace("\0", "").strip()
        query = urlencode({"from": self._sender}) if self._sender else ""
        ui.navigate.history.replace(f"/replies?{query}" if query else "/replies")
        await self._table.load()

    def _empty(self) -> None:
        t = self._view.t
        if self._sender:
            title = t("replies.none_title", sender=line(self._sender, 40))
            empty(title, t("replies.none_text"), "search_off", action=t("replies.show_all"), target="/replies")
        else:
            empty(t("replies.empty_title"), t("replies.empty_text"), "forum")


PAGE = Page("/replies", "replies", Group.USER, show, icon="forum")
