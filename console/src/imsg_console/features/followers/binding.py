"""Binding a follower to a user: a QR code to scan, then the tag of the follower, to compare and confirm."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import segno
from nicegui import ui
from nicegui.element import Element

from imsg_console.client import ApiError, path
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog, remove
from imsg_console.widgets.elements import attrs, button, element, redraw
from imsg_console.widgets.fields import choice_field, is_valid, text_field
from imsg_console.widgets.notices import notice, toast

BINDINGS = "/api/v2/followers/bind"
REFRESH_S = 2.0
MAX_NAME = 64

Refresh = Callable[[], Awaitable[object]]


async def bind(view: View, accounts: Sequence[str], refresh: Refresh) -> None:
    """Ask for the user, show the code, wait until it is scanned, and ask for a confirmation."""
    with dialog(view.t("followers.bind_title")) as opened:
        steps = BindingSteps(view, opened, ui.column())
        steps.ask(accounts)
    is_bound = await opened
    remove(opened)
    if is_bound:
        toast(view.t("followers.bound", name=line(steps.username, MAX_NAME)))
        await refresh()


class BindingSteps:
    """The steps of the dialog."""

    def __init__(self, view: View, opened: ui.dialog, place: Element) -> None:
        self._view = view
        self._dialog = opened
        self._place = place
        self.username = ""

    def ask(self, accounts: Sequence[str]) -> None:
        """Show the fields for the user and the official account."""
        t = self._view.t
        with self._clear():
            element("p", "", t("followers.bind_text"))
            account = choice_field(t("followers.account"), list(accounts), accounts[0])
            account.set_visibility(len(accounts) > 1)
            name = text_field(
                t("followers.username"),
                self.username,
                max_length=MAX_NAME,
                check=lambda text: "" if text.strip() else t("followers.needs_name"),
            )
            attrs(name, autofocus=True)
            self._error = element("div", "form-trouble")

            async def make() -> None:
                if not is_valid([name]):
                    return
                self.username = str(name.value).strip()
                try:
                    code = await self._view.api.post(BINDINGS, {"account": account.value, "username": self.username})
                except ApiError as error:
                    self._show_error(error)
                    return
                self._show_code(code, accounts)

            with ui.row():
                button(t("layout.cancel"), lambda: self._dialog.submit(None), kind="quiet")
                button(t("followers.make_code"), make, kind="main", symbol="qr_code_2")

    def _show_code(self, code: dict[str, Any], accounts: Sequence[str]) -> None:
        t = self._view.t
        with self._clear():
            name = line(self.username, MAX_NAME)
            element("p", "", t("followers.scan", name=name))
            picture = segno.make_qr(code["url"], error="m").svg_data_uri(border=3, scale=6, light="#fff")
            attrs(element("img", "follower-code"), src=picture, alt=t("followers.code", name=name))
            element("p", "muted", t("followers.until", at=self._view.times.full(code["expires_at"])))
            waiting = attrs(element("p", "muted", t("followers.waiting")), role="status")
            foot = ui.row()
            with foot:
                button(t("layout.cancel"), lambda: self._dialog.submit(None), kind="quiet")

            async def refresh() -> None:
                try:
                    state = await self._view.api.get(path(BINDINGS, code["id"]))
                except ApiError:
                    return  # the next refresh may succeed
                if state["state"] == "waiting":
                    return
                timer.deactivate()
                waiting.delete()
                if state["state"] == "scanned":
                    self._show_scanned(state)
                else:
                    self._show_expired(accounts)

            timer = ui.timer(REFRESH_S, refresh, immediate=False)

    def _show_scanned(self, state: dict[str, Any]) -> None:
        t = self._view.t
        with self._clear():
            element("p", "", t("followers.scanned", name=line(self.username, MAX_NAME)))
            attrs(element("p", "mono follower-tag", line(state["tag"], 16)), role="status")
            notice(t("followers.compare"), "warn")
            self._error = element("div", "form-trouble")

            async def confirm() -> None:
                try:
                    await self._view.api.post(f"{path(BINDINGS, state['id'])}/confirm", {})
                except ApiError as error:
                    self._show_error(error)
                    return
                self._dialog.submit(True)  # noqa: FBT003  the answer itself

            with ui.row():
                button(t("followers.reject"), lambda: self._dialog.submit(None), kind="quiet")
                button(t("followers.confirm"), confirm, kind="main", symbol="check")

    def _show_expired(self, accounts: Sequence[str]) -> None:
        t = self._view.t
        with self._clear():
            notice(t("followers.expired"), "warn")
            with ui.row():
                button(t("layout.cancel"), lambda: self._dialog.submit(None), kind="quiet")
                button(t("followers.again"), lambda: self.ask(accounts), kind="main")

    def _show_error(self, error: ApiError) -> None:
        with redraw(self._error):
            notice(error.detail or self._view.t("layout.unreachable"), "bad")

    def _clear(self) -> Element:
        self._place.clear()
        return self._place
