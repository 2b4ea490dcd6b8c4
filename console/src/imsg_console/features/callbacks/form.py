"""The form of a callback, and its secret, which is shown once."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, path
from imsg_console.layout import sentence
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import attrs, button, element
from imsg_console.widgets.notices import notice

EVENTS = (
    "message.sent",
    "message.delivered",
    "message.failed",
    "message.expired",
    "message.uncertain",
    "message.reply",
    "request.settled",
    "callback.disabled",
)
FOR_ADMINISTRATORS = ("channel.blocked", "channel.open")
USUAL = ("message.sent", "message.failed", "message.expired")

Changed = Callable[[], Awaitable[None]]


async def open_new(view: View, changed: Changed) -> None:
    """Ask for a new callback, and show its secret: beside the form, which takes with it what was drawn in it."""
    if (made := await _Form(view, None).ask()) is not None:
        await changed()
        show_secret(view, made["secret"])


async def open_change(view: View, callback: dict[str, Any], changed: Changed) -> None:
    """Ask what of a callback is to be otherwise."""
    if await _Form(view, callback).ask() is not None:
        await changed()


def show_secret(view: View, secret: str) -> None:
    """Show a secret, this once."""
    t = view.t
    with dialog(t("callbacks.secret_title")) as opened:
        element("p", "", t("callbacks.secret_what"))
        shown = attrs(element("pre", "code-block", secret), tabindex="0", role="region")
        attrs(shown, aria_label=t("callbacks.secret_title"))
        with element("div", "actions dialog-foot"):
            button(t("callbacks.secret_kept"), opened.close, kind="main")
    opened.props("persistent")
    opened.on("hide", opened.delete)
    opened.open()


class _Form:
    def __init__(self, view: View, known: dict[str, Any] | None) -> None:
        self._view, self._t, self._known = view, view.t, known

    async def ask(self) -> dict[str, Any] | None:
        """Return what the server answered once it was saved; None where it was left."""
        t = self._t
        known = self._known or {"url": "", "description": "", "events": USUAL}
        with dialog(t("callbacks.edit" if self._known else "callbacks.add")) as self._dialog:
            self._url = ui.input(t("callbacks.url"), value=known["url"]).props("outlined stack-label")
            attrs(self._url, placeholder="https://example.com/imsg", maxlength=2_000)
            self._description = ui.input(t("callbacks.description"), value=known["description"])
            attrs(self._description.props("outlined stack-label"), maxlength=200)
            with element("fieldset", "stack tight"):
                element("legend", "", t("callbacks.events"))
                self._boxes = {
                    name: ui.checkbox(t(f"callbacks.event_{name.replace('.', '_')}"), value=name in known["events"])
                    for name in (*EVENTS, *(FOR_ADMINISTRATORS if self._view.session.is_admin else ()))
                }
            self._trouble = element("div", "")
            with element("div", "actions dialog-foot"):
                button(t("layout.cancel"), self._dialog.close, kind="quiet")
                button(t("callbacks.save"), self._save, kind="main")
        made: dict[str, Any] | None = await self._dialog
        self._dialog.delete()
        return made

    async def _save(self) -> None:
        t = self._t
        self._trouble.clear()
        events = [name for name, box in self._boxes.items() if box.value]
        self._url.error = None if self._url.value else t("callbacks.url_missing")
        if not self._url.value or not events:
            if not events:
                self._complain(t("callbacks.events_missing"))
            return
        body = {"url": self._url.value.strip(), "description": self._description.value or "", "events": events}
        try:
            if self._known is None:
                made = await self._view.api.post("/api/v2/callbacks", body)
            else:
                made = await self._view.api.patch(path("/api/v2/callbacks", self._known["id"]), body)
        except ApiError as error:
            self._complain(sentence(t, error))
            return
        self._dialog.submit(made)

    def _complain(self, text: str) -> None:
        with self._trouble:
            notice(text, "bad")
