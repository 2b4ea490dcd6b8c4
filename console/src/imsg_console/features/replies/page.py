"""Replies of recipients, the newest first. A user sees the replies to their own messages."""

from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.filters import Filter
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column

MAX_TEXT = 600
MAX_SENDER = 254


async def show(view: View) -> None:
    """Draw the page."""
    await Replies(view).show()


class Replies:
    """The search by sender, and the list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    async def show(self) -> None:
        """Draw the page, and load the newest."""
        t, sees_all = self._t, self._view.session.sees_all
        page_head(t("layout.replies"), t("replies.lead_all" if sees_all else "replies.lead"))
        columns = [
            Column("sender", t("replies.from"), lambda row: line(row["from"], MAX_SENDER), is_main=True),
            Column("text", t("replies.text"), self._text),
            Column("message", t("replies.answers"), self._message),
            Column("username", t("replies.username"), lambda row: line(row["username"] or "—", MAX_SENDER)),
            Column("at", t("replies.at"), lambda row: self._view.times.short(row["at"])),
        ]
        if not sees_all:
            del columns[3]
        table = PagedTable(
            self._view,
            t("layout.replies"),
            columns,
            "/api/v2/replies",
            key="id",
            texts="replies",
            symbol="forum",
            filters=[Filter("from", t("replies.search"))],
            has_refresh=True,
            counts=True,
        )
        await table.load()

    def _text(self, row: Row) -> Cell:
        t = self._t
        text = (
            cells.muted(t("replies.erased")) if row["text"] is None else cells.text(line(row["text"], MAX_TEXT) or "—")
        )
        return [text, cells.chip(t("replies.opt_out"), "notifications_off", "warn")] if row["opt_out"] else text

    def _message(self, row: Row) -> Cell:
        if row["message"] is None:
            return "—"
        return cells.link(line(row["reference"] or "", 60) or self._t("replies.message"), f"/messages/{row['message']}")


PAGE = Page("/replies", "replies", Group.USER, show, icon="forum")
