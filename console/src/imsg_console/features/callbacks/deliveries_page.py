"""The deliveries of one callback: each event, what the URL answered, and another try."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from imsg_console.client import path
from imsg_console.features.callbacks.events import name_event
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.dialogs import reading_dialog
from imsg_console.widgets.elements import button, element, link_to
from imsg_console.widgets.facts import code_block, page_head
from imsg_console.widgets.filters import Filter
from imsg_console.widgets.forms import Field, Form, ask_form
from imsg_console.widgets.notices import toast
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column

CHIPS = {"waiting": ("schedule", "warn"), "delivered": ("check_circle", "good"), "failed": ("error", "bad")}
"""State of a delivery → symbol and tone."""

RECOVERED_DAYS = (1, 3, 7, 14)


async def show(view: View) -> None:
    """Draw the page."""
    await Deliveries(view).show()


class Deliveries:
    """The filter by state, and the list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._url = path("/api/v2/callbacks", view.segments["id"])

    async def show(self) -> None:
        """Draw the page, and load the newest."""
        t = self._t
        with page_head(t("callbacks.deliveries_title")):
            if self._view.may("POST /callbacks/{id}/recover"):
                button(t("callbacks.recover"), self._recover, symbol="history")
        link_to(t("callbacks.back"), "/callbacks", "arrow_back")
        options = {"": t("callbacks.all_states")} | {chip: t(f"callbacks.delivery_{chip}") for chip in CHIPS}
        self._table = PagedTable(
            self._view,
            t("callbacks.deliveries_title"),
            [
                Column("event", t("callbacks.event"), self._event, is_main=True),
                Column("state", t("callbacks.state"), self._describe_state),
                Column("answer", t("callbacks.answer"), self._answer),
                Column("at", t("callbacks.when"), self._time),
                Column("actions", t("callbacks.actions"), self._actions),
            ],
            f"{self._url}/deliveries",
            key="event",
            texts="deliveries",
            filters=[Filter("state", t("callbacks.which"), options)],
            actions={"read": self._read, "resend": self._resend},
        )
        await self._table.load()

    def _event(self, row: Row) -> Cell:
        data = json.loads(row["body"]).get("data", {})
        about = line(str(data.get("to") or data.get("request") or data.get("method") or ""), 80)
        return [cells.text(name_event(self._t, row["type"])), cells.muted(about)]

    def _describe_state(self, row: Row) -> Cell:
        return cells.chip(self._t(f"callbacks.delivery_{row['state']}"), *CHIPS[row["state"]])

    def _answer(self, row: Row) -> Cell:
        return line(row["error"] or (f"HTTP {row['status']}" if row["status"] else "—"), 120)

    def _time(self, row: Row) -> Cell:
        times = self._view.times
        pieces = [cells.text(times.short(row["tried_at"] or row["created_at"]))]
        if row["next_at"] and row["attempts"]:
            pieces.append(cells.muted(self._t("callbacks.next", at=times.short(row["next_at"]))))
        return pieces

    def _actions(self, row: Row) -> Cell:
        t, number = self._t, row["event"][-12:]
        read, resend = t("callbacks.read_of", id=number), t("callbacks.resend_of", id=number)
        buttons = [cells.button("read", t("callbacks.read"), read, icon="visibility", kind="quiet")]
        if self._view.may("POST /callbacks/{id}/deliveries/{event}/resend"):
            buttons.append(cells.button("resend", t("callbacks.resend"), resend, icon="replay"))
        return [buttons]

    def _read(self, row: Row) -> None:
        t = self._t
        with reading_dialog(self._view, name_event(self._t, row["type"]), wide=True):
            element("p", "muted small", t("callbacks.attempts", n=row["attempts"]))
            element("h3", "", t("callbacks.body"))
            code_block(json.dumps(json.loads(row["body"]), ensure_ascii=False, indent=2), t("callbacks.body"))
            element("h3", "", t("callbacks.answer"))
            code_block(row["answer"] or t("callbacks.no_answer"), t("callbacks.answer"))

    async def _resend(self, row: Row) -> None:
        await self._view.api.post(f"{self._url}/deliveries/{row['event']}/resend", {})
        toast(self._t("callbacks.resent"))
        await self._table.reload()

    async def _recover(self) -> None:
        """Ask for the age of the oldest event, and deliver all since then again."""
        t = self._t

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            days = timedelta(days=int(form.read()["days"]))
            since = datetime.now(UTC) - days + timedelta(minutes=1)
            return await self._view.api.post(f"{self._url}/recover", {"since": since.isoformat()})

        options = {str(n): t("callbacks.days", n=n) for n in RECOVERED_DAYS}
        field = Field("days", t("callbacks.since"), "1", "choice", options=options)
        action, text = t("callbacks.recover"), t("callbacks.recover_what")
        if await ask_form(self._view, action, [field], action, save, text=text):
            toast(t("callbacks.recovering"))
            await self._table.reload()


PAGE = Page("/callbacks/{id}", "callback_deliveries", Group.USER, show, under="/callbacks")
