"""What one callback was told: each event, what it answered, and another try."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from nicegui import ui
from nicegui.element import Element

from imsg_console.client import path
from imsg_console.sanitize import block, line
from imsg_console.time_format import TimeFormat
from imsg_console.view import Group, Page, View
from imsg_console.widgets import chips
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import attrs, button, element, heading, link_to
from imsg_console.widgets.notices import empty, toast
from imsg_console.widgets.tables import Column, PagedTable, Row

PAGE_SIZE = 20
STATES = ("waiting", "delivered", "failed")
TONES = {"waiting": "warn", "delivered": "good", "failed": "bad"}
SYMBOLS = {"waiting": "schedule", "delivered": "check_circle", "failed": "error"}
RECOVERED_DAYS = (1, 3, 7, 14)


async def show(view: View) -> None:
    """Draw the page."""
    await _Deliveries(view).draw()


class _Deliveries:
    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._own = path("/api/v2/callbacks", view.segments["id"])
        self._moments = TimeFormat(view.timezone, english=view.preferences.language == "en")
        self._state = ""

    async def draw(self) -> None:
        """Draw the table with its filter and actions."""
        t = self._t
        with element("div", "spread"):
            heading(1, t("callbacks.deliveries_title"))
            button(t("callbacks.recover"), self._recover, symbol="history")
        link_to(t("callbacks.back"), "/callbacks", "arrow_back")
        options = {"": t("callbacks.all_states")} | {one: t(f"callbacks.delivery_{one}") for one in STATES}
        chosen = ui.select(
            options, value="", label=t("callbacks.which"), on_change=lambda event: self._choose(event.value)
        )
        chosen.props("outlined stack-label")
        self._table = PagedTable(
            self._view,
            t("callbacks.deliveries_title"),
            [
                Column(t("callbacks.event"), self._draw_event, "main"),
                Column(t("callbacks.state"), self._draw_state),
                Column(t("callbacks.answer"), self._draw_answer),
                Column(t("callbacks.when"), self._draw_time),
                Column(t("callbacks.actions"), self._draw_actions),
            ],
            self._load,
            key=lambda row: str(row["event"]),
            when_empty=lambda: empty(t("callbacks.nothing_title"), t("callbacks.nothing"), "inbox"),
        )
        await self._table.load()

    async def _choose(self, state: str) -> None:
        self._state = state
        await self._table.load()

    async def _load(self, cursor: str) -> tuple[list[Row], str | None]:
        given = {"limit": PAGE_SIZE, "cursor": cursor or None, "state": self._state or None}
        answer = await self._view.api.get(
            f"{self._own}/deliveries", **{name: value for name, value in given.items() if value is not None}
        )
        return answer["deliveries"], answer["next"]

    def _draw_event(self, row: Row) -> Element:
        data = json.loads(row["body"]).get("data", {})
        with element("div") as drawn:
            element("div", "", self._t(f"callbacks.event_{row['type'].replace('.', '_')}"))
            element(
                "div", "muted small", line(str(data.get("to") or data.get("request") or data.get("method") or ""), 80)
            )
        return drawn

    def _draw_state(self, row: Row) -> Element:
        state = row["state"]
        return chips.chip(self._t(f"callbacks.delivery_{state}"), SYMBOLS[state], TONES[state])

    def _draw_answer(self, row: Row) -> str:
        return line(row["error"] or (f"HTTP {row['status']}" if row["status"] else "—"), 120)

    def _draw_time(self, row: Row) -> Element:
        t, now = self._t, datetime.now(UTC)
        with element("div") as drawn:
            element("div", "", self._moments.short(row["tried_at"] or row["created_at"], now))
            if row["next_at"] and row["attempts"]:
                element("div", "muted small", t("callbacks.next", at=self._moments.short(row["next_at"], now)))
        return drawn

    def _draw_actions(self, row: Row) -> Element:
        t = self._t
        with element("div", "row-actions") as drawn:
            made = button(t("callbacks.read"), lambda: self._read(row), kind="quiet", symbol="visibility")
            attrs(made, aria_label=t("callbacks.read_of", id=row["event"][-12:]))
            again = button(t("callbacks.resend"), lambda: self._resend(row), symbol="replay")
            attrs(again, aria_label=t("callbacks.resend_of", id=row["event"][-12:]))
        return drawn

    def _read(self, row: dict[str, Any]) -> None:
        t = self._t
        with dialog(t(f"callbacks.event_{row['type'].replace('.', '_')}"), wide=True) as opened:
            element("p", "muted small", t("callbacks.attempts", n=row["attempts"]))
            element("h3", "", t("callbacks.body"))
            pretty = json.dumps(json.loads(row["body"]), ensure_ascii=False, indent=2)
            attrs(
                element("pre", "code-block", block(pretty)), tabindex="0", role="region", aria_label=t("callbacks.body")
            )
            element("h3", "", t("callbacks.answer"))
            said = block(row["answer"]) if row["answer"] else t("callbacks.no_answer")
            attrs(element("pre", "code-block", said), tabindex="0", role="region", aria_label=t("callbacks.answer"))
            with element("div", "actions dialog-foot"):
                button(t("layout.close"), opened.close, kind="quiet")
        opened.on("hide", opened.delete)
        opened.open()

    async def _resend(self, row: Row) -> None:
        await self._view.api.post(f"{self._own}/deliveries/{row['event']}/resend", {})
        toast(self._t("callbacks.resent"))
        await self._table.reload()

    async def _recover(self) -> None:
        t = self._t
        with dialog(t("callbacks.recover")) as asked:
            element("p", "", t("callbacks.recover_what"))
            days = ui.select({n: t("callbacks.days", n=n) for n in RECOVERED_DAYS}, value=1, label=t("callbacks.since"))
            days.props("outlined stack-label")
            with element("div", "actions dialog-foot"):
                button(t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
                button(t("callbacks.recover"), lambda: asked.submit(days.value), kind="main")
        chosen = await asked
        asked.delete()
        if chosen:
            since = datetime.now(UTC) - timedelta(days=int(chosen)) + timedelta(minutes=1)
            await self._view.api.post(f"{self._own}/recover", {"since": since.isoformat()})
            toast(t("callbacks.recovering"))
            await self._table.reload()


PAGE = Page("/callbacks/{id}", "callback_deliveries", Group.USER, show, under="/callbacks")
