"""The callbacks of a user: each with its health, and a form for another."""

from typing import Any

from nicegui import ui

from imsg_console.client import path
from imsg_console.features.callbacks import form
from imsg_console.features.callbacks.events import name_event
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import chips
from imsg_console.widgets.dialogs import ask_to_delete, confirm, reading_dialog
from imsg_console.widgets.elements import attrs, button, element, heading, link_to, redraw
from imsg_console.widgets.facts import code_block, page_head
from imsg_console.widgets.notices import empty, notice, toast

CHIPS = {
    "ok": ("check_circle", "good"),
    "new": ("schedule", "calm"),
    "failing": ("warning", "warn"),
    "disabled": ("block", "bad"),
}
"""State of a callback → symbol and tone."""


async def show(view: View) -> None:
    """Draw the page."""
    t, callbacks = view.t, Callbacks(view)
    with page_head(t("callbacks.title"), t("callbacks.lead")):
        if view.may("POST /callbacks"):
            button(t("callbacks.add"), lambda: form.create(view, callbacks.refresh), kind="main", symbol="add")
    await callbacks.draw()


class Callbacks:
    """The list, drawn again after each change."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    async def draw(self) -> None:
        """Draw the page where it is called."""
        self._place = ui.column()
        await self.refresh()

    async def refresh(self) -> None:
        """Load the callbacks, and draw them."""
        callbacks = (await self._view.api.get("/api/v2/callbacks"))["callbacks"]
        with redraw(self._place):
            if not callbacks:
                empty(self._t("callbacks.none_title"), self._t("callbacks.none"), "webhook")
            for callback in callbacks:
                self._draw_one(callback)

    def _draw_one(self, callback: dict[str, Any]) -> None:
        t = self._t
        with element("section", "card stack"):
            with ui.row().classes("justify-between"):
                heading(2, line(callback["description"] or callback["url"], 80))
                state = callback["state"]
                chips.chip(t(f"callbacks.state_{state}"), *CHIPS[state])
            if callback["description"]:
                element("p", "muted small", line(callback["url"], 200))
            element("p", "", t.join_names(name_event(t, name) for name in callback["events"]))
            self._draw_health(callback)
            self._draw_actions(callback)

    def _draw_health(self, callback: dict[str, Any]) -> None:
        t = self._t
        if callback["why"]:
            notice(t(f"callbacks.why_{callback['why']}"), "bad")
        elif callback["last_error"]:
            since = self._view.times.short(callback["failing_since"])
            notice(t("callbacks.failing_since", since=since, error=line(callback["last_error"], 200)), "warn")
        facts = [t("callbacks.waiting", n=callback["waiting"])]
        if callback["reached_at"]:
            facts.insert(0, t("callbacks.reached", at=self._view.times.short(callback["reached_at"])))
        element("p", "muted small", " · ".join(facts))

    def _draw_actions(self, callback: dict[str, Any]) -> None:
        t, url = self._t, path("/api/v2/callbacks", callback["id"])
        named = line(callback["description"] or callback["url"], 60)
        with ui.row():
            link = link_to(t("callbacks.deliveries"), path("/callbacks", callback["id"])).classes("button")
            attrs(link, aria_label=t("callbacks.deliveries_of", name=named))
            if self._view.may("PATCH /callbacks/{id}"):
                self._draw_changes(callback, url)
            button(t("callbacks.remove_action"), lambda: self._remove(url, named), kind="quiet", symbol="delete")

    def _draw_changes(self, callback: dict[str, Any], url: str) -> None:
        t = self._t
        button(t("callbacks.test"), lambda: self._test(url), symbol="send")
        button(t("callbacks.edit"), lambda: form.change(self._view, callback, self.refresh), symbol="edit")
        button(t("callbacks.rotate"), lambda: self._rotate(url), symbol="key")
        if callback["enabled"]:
            button(t("callbacks.disable"), lambda: self._set(url, enabled=False), symbol="pause")
        else:
            button(t("callbacks.enable"), lambda: self._set(url, enabled=True), symbol="play_arrow")

    async def _test(self, url: str) -> None:
        t = self._t
        tried = await self._view.api.post(f"{url}/test", {})
        if tried["delivered"]:
            toast(t("callbacks.tested", status=tried["status"], ms=tried["took_ms"]))
            return
        with reading_dialog(self._view, t("callbacks.test_failed")):
            element("p", "", line(tried["error"] or "", 500))
            if tried["answer"]:
                code_block(line(tried["answer"], 1_000), t("callbacks.answer"))

    async def _rotate(self, url: str) -> None:
        t = self._t
        title, what = t("callbacks.rotate_ask"), t("callbacks.rotate_what")
        if await confirm(self._view, title, what, t("callbacks.rotate"), danger=False):
            form.show_secret(self._view, (await self._view.api.post(f"{url}/rotate", {}))["secret"])

    async def _set(self, url: str, *, enabled: bool) -> None:
        await self._view.api.patch(url, {"enabled": enabled})
        await self.refresh()

    async def _remove(self, url: str, named: str) -> None:
        if await ask_to_delete(self._view, url, "callbacks.remove", name=named):
            await self.refresh()


PAGE = Page("/callbacks", "callbacks", Group.USER, show, icon="webhook")
