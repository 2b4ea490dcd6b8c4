"""One's callbacks: each with its health, and a form for another."""

from datetime import UTC, datetime
from typing import Any

from imsg_console.client import path
from imsg_console.features.callbacks import form
from imsg_console.sanitize import line
from imsg_console.time_format import TimeFormat
from imsg_console.view import Group, Page, View
from imsg_console.widgets import chips
from imsg_console.widgets.dialogs import confirm, dialog
from imsg_console.widgets.elements import attrs, button, element, heading, link_to
from imsg_console.widgets.notices import empty, notice, toast

TONES = {"ok": "good", "new": "calm", "failing": "warn", "disabled": "bad"}
SYMBOLS = {"ok": "check_circle", "new": "schedule", "failing": "warning", "disabled": "block"}


async def show(view: View) -> None:
    """Draw the page."""
    t = view.t
    with element("div", "spread"):
        heading(1, t("callbacks.title"))
        button(t("callbacks.add"), lambda: form.open_new(view, drawn.refresh), kind="main", symbol="add")
    element("p", "page-lead", t("callbacks.lead"))
    drawn = _Callbacks(view)
    await drawn.draw()


class _Callbacks:
    """The list, drawn anew after each change."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._moments = TimeFormat(view.timezone, english=view.preferences.language == "en")

    async def draw(self) -> None:
        """Draw it where it is called."""
        self._place = element("div", "stack")
        await self.refresh()

    async def refresh(self) -> None:
        """Ask anew, and draw."""
        found = (await self._view.api.get("/api/v2/callbacks"))["callbacks"]
        self._place.clear()
        with self._place:
            if not found:
                empty(self._t("callbacks.none_title"), self._t("callbacks.none"), "webhook")
            for callback in found:
                self._draw_one(callback)

    def _draw_one(self, callback: dict[str, Any]) -> None:
        t = self._t
        with element("section", "card stack"):
            with element("div", "spread"):
                heading(2, line(callback["description"] or callback["url"], 80))
                state = callback["state"]
                chips.chip(t(f"callbacks.state_{state}"), SYMBOLS[state], TONES[state])
            if callback["description"]:
                element("p", "muted small", line(callback["url"], 200))
            element("p", "", "、".join(t(f"callbacks.event_{name.replace('.', '_')}") for name in callback["events"]))
            self._draw_health(callback)
            self._draw_actions(callback)

    def _draw_health(self, callback: dict[str, Any]) -> None:
        t, now = self._t, datetime.now(UTC)
        if callback["why"]:
            notice(t(f"callbacks.why_{callback['why']}"), "bad")
        elif callback["last_error"]:
            since = self._moments.short(callback["failing_since"], now)
            notice(t("callbacks.failing_since", since=since, error=line(callback["last_error"], 200)), "warn")
        said = [t("callbacks.waiting", n=callback["waiting"])]
        if callback["reached_at"]:
            said.insert(0, t("callbacks.reached", at=self._moments.short(callback["reached_at"], now)))
        element("p", "muted small", " · ".join(said))

    def _draw_actions(self, callback: dict[str, Any]) -> None:
        t, own = self._t, path("/api/v2/callbacks", callback["id"])
        named = line(callback["description"] or callback["url"], 60)
        with element("div", "actions"):
            link = link_to(t("callbacks.deliveries"), path("/callbacks", callback["id"])).classes("button")
            attrs(link, aria_label=t("callbacks.deliveries_of", name=named))
            button(t("callbacks.test"), lambda: self._test(own), symbol="send")
            button(t("callbacks.edit"), lambda: form.open_change(self._view, callback, self.refresh), symbol="edit")
            button(t("callbacks.rotate"), lambda: self._rotate(own), symbol="key")
            if callback["enabled"]:
                button(t("callbacks.disable"), lambda: self._set(own, enabled=False), symbol="pause")
            else:
                button(t("callbacks.enable"), lambda: self._set(own, enabled=True), symbol="play_arrow")
            button(t("callbacks.remove"), lambda: self._remove(own, named), kind="quiet", symbol="delete")

    async def _test(self, own: str) -> None:
        t = self._t
        tried = await self._view.api.post(f"{own}/test", {})
        if tried["delivered"]:
            toast(t("callbacks.tested", status=tried["status"], ms=tried["took_ms"]))
            return
        with dialog(t("callbacks.test_failed")) as opened:
            element("p", "", line(tried["error"] or "", 500))
            if tried["answer"]:
                attrs(element("pre", "code-block", line(tried["answer"], 1_000)), tabindex="0")
            with element("div", "actions dialog-foot"):
                button(t("layout.close"), opened.close, kind="quiet")
        opened.on("hide", opened.delete)
        opened.open()

    async def _rotate(self, own: str) -> None:
        t = self._t
        title, what = t("callbacks.rotate_ask"), t("callbacks.rotate_what")
        if await confirm(self._view, title, what, t("callbacks.rotate"), danger=False):
            form.show_secret(self._view, (await self._view.api.post(f"{own}/rotate", {}))["secret"])

    async def _set(self, own: str, *, enabled: bool) -> None:
        await self._view.api.patch(own, {"enabled": enabled})
        await self.refresh()

    async def _remove(self, own: str, named: str) -> None:
        t = self._t
        title = t("callbacks.remove_ask", name=named)
        if await confirm(self._view, title, t("callbacks.remove_what"), t("callbacks.remove")):
            await self._view.api.delete(own)
            toast(t("callbacks.removed"))
            await self.refresh()


PAGE = Page("/callbacks", "callbacks", Group.USER, show, icon="webhook")
