"""Replies of recipients, the newest first. A user sees the replies to their own messages."""

from datetime import UTC, datetime

from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.elements import button, element
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.fields import read_search, search_field
from imsg_console.widgets.notices import empty
from imsg_console.widgets.paging import Loaded, Position, Row
from imsg_console.widgets.tables import Column, PagedTable

MOST_TEXT = 600
MOST_SENDER = 254


async def show(view: View) -> None:
    """Draw the page."""
    await Replies(view).show()


class Replies:
    """The search by sender, and the list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._sender = view.query.get("from", "").replace("\0", "").strip()

    async def show(self) -> None:
        """Draw it, and load the newest."""
        t, sees_all = self._t, self._view.session.sees_all
        page_head(t("layout.replies"), t("replies.lead_all" if sees_all else "replies.lead"))
        columns = [
            Column("sender", t("replies.from"), lambda row: line(row["from"], MOST_SENDER), is_main=True),
            Column("text", t("replies.text"), self._text),
            Column("message", t("replies.answers"), self._message),
            Column("username", t("replies.username"), lambda row: line(row["username"] or "—", MOST_SENDER)),
            Column("at", t("replies.at"), lambda row: self._view.times.short(row["at"], datetime.now(UTC))),
        ]
        if not sees_all:
            del columns[3]
        with element("search", "line"):
            self._field = search_field(t("replies.search"), self._sender, self._search)
            button(t("replies.refresh"), self._refresh, kind="quiet", symbol="refresh")
        self._table = PagedTable(
            self._view,
            t("layout.replies"),
            columns,
            self._load,
            key="id",
            when_empty=self._draw_empty,
            counts=True,
        )
        await self._table.load()

    async def _refresh(self) -> None:
        await self._table.load()

    async def _load(self, position: Position) -> Loaded:
        answer = await self._view.api.get("/api/v2/replies", **position, **{"from": self._sender})
        return Loaded.read(answer, "replies")

    async def _search(self) -> None:
        self._sender = read_search(self._field)
        self._view.replace_query(**{"from": self._sender})
        await self._table.load()

    def _text(self, row: Row) -> Cell:
        t = self._t
        text = (
            cells.muted(t("replies.erased")) if row["text"] is None else cells.text(line(row["text"], MOST_TEXT) or "—")
        )
        return [text, cells.chip(t("replies.opt_out"), "notifications_off", "warn")] if row["opt_out"] else text

    def _message(self, row: Row) -> Cell:
        if row["message"] is None:
            return "—"
        return cells.link(line(row["reference"] or "", 60) or self._t("replies.message"), f"/messages/{row['message']}")

    def _draw_empty(self) -> None:
        t = self._t
        if self._sender:
            title = t("replies.none_title", sender=line(self._sender, 40))
            empty(title, t("replies.none_text"), "search_off", action=t("replies.show_all"), target="/replies")
        else:
            empty(t("replies.empty_title"), t("replies.empty_text"), "forum")


PAGE = Page("/replies", "replies", Group.USER, show, icon="forum")
