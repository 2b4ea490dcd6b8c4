"""Binding a follower to a user: a code to scan, then the tag of who scanned it, to be compared and confirmed."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import segno
from nicegui import ui
from nicegui.element import Element

from imsg_console.client import ApiError, path
from imsg_console.sanitize import line
from imsg_console.time_format import TimeFormat
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import attrs, button, element
from imsg_console.widgets.fields import choice_field, sound, text_field
from imsg_console.widgets.notices import notice, toast

BINDINGS = "/api/v2/followers/bind"
LOOK_EVERY_S = 2.0
MOST_NAME = 64

Done = Callable[[], Awaitable[object]]


async def bind(view: View, accounts: Sequence[str], done: Done) -> None:
    """Ask for whom, show the code, wait for who scans it, and have it confirmed."""
    with dialog(view.t("followers.bind_title")) as asked:
        steps = Steps(view, asked, element("div", "stack"))
        steps.ask(accounts)
    is_bound = await asked
    asked.delete()
    if is_bound:
        toast(view.t("followers.bound", name=line(steps.username, MOST_NAME)))
        await done()


class Steps:
    """What the dialog shows, one after the other."""

    def __init__(self, view: View, asked: ui.dialog, place: Element) -> None:
        self._view = view
        self._dialog = asked
        self._place = place
        self._moments = TimeFormat(view.timezone, english=view.t.language == "en")
        self.username = ""

    def ask(self, accounts: Sequence[str]) -> None:
        """Ask for whom, and of which account the code is to be."""
        t = self._view.t
        with self._clear():
            element("p", "", t("followers.bind_text"))
            account = choice_field(t("followers.account"), list(accounts), accounts[0])
            account.set_visibility(len(accounts) > 1)
            name = text_field(
                t("followers.username"),
                self.username,
                most=MOST_NAME,
                check=lambda text: "" if text.strip() else t("followers.needs_name"),
            )
            attrs(name, autofocus=True)
            trouble = element("div", "form-trouble")

            async def make() -> None:
                if not sound([name]):
                    return
                self.username = str(name.value).strip()
                try:
                    made = await self._view.api.post(BINDINGS, {"account": account.value, "username": self.username})
                except ApiError as error:
                    trouble.clear()
                    with trouble:
                        notice(error.detail or t("layout.unreachable"), "bad")
                    return
                self._show_code(made, accounts)

            with element("div", "actions dialog-foot"):
                button(t("layout.cancel"), lambda: self._dialog.submit(None), kind="quiet")
                button(t("followers.make_code"), make, kind="main", symbol="qr_code_2")

    def _show_code(self, made: dict[str, Any], accounts: Sequence[str]) -> None:
        t = self._view.t
        with self._clear():
            name = line(self.username, MOST_NAME)
            element("p", "", t("followers.scan", name=name))
            picture = segno.make_qr(made["url"], error="m").svg_data_uri(border=3, scale=6, light="#fff")
            attrs(element("img", "follower-code"), src=picture, alt=t("followers.code", name=name))
            element("p", "muted", t("followers.until", at=self._moments.full(made["expires_at"])))
            waiting = attrs(element("p", "muted", t("followers.waiting")), role="status")
            foot = element("div", "actions dialog-foot")
            with foot:
                button(t("layout.cancel"), lambda: self._dialog.submit(None), kind="quiet")

            async def look() -> None:
                try:
                    state = await self._view.api.get(path(BINDINGS, made["id"]))
                except ApiError:
                    return  # the next look may find it again
                if state["state"] == "waiting":
                    return
                timer.deactivate()
                waiting.delete()
                if state["state"] == "scanned":
                    self._show_scanned(state)
                else:
                    self._show_expired(accounts)

            timer = ui.timer(LOOK_EVERY_S, look, immediate=False)

    def _show_scanned(self, state: dict[str, Any]) -> None:
        t = self._view.t
        with self._clear():
            element("p", "", t("followers.scanned", name=line(self.username, MOST_NAME)))
            attrs(element("p", "mono follower-tag", line(state["tag"], 16)), role="status")
            notice(t("followers.compare"), "warn")
            trouble = element("div", "form-trouble")

            async def confirm() -> None:
                try:
                    await self._view.api.post(f"{path(BINDINGS, state['id'])}/confirm", {})
                except ApiError as error:
                    trouble.clear()
                    with trouble:
                        notice(error.detail or t("layout.unreachable"), "bad")
                    return
                self._dialog.submit(True)  # noqa: FBT003  the answer itself

            with element("div", "actions dialog-foot"):
                button(t("followers.reject"), lambda: self._dialog.submit(None), kind="quiet")
                button(t("followers.confirm"), confirm, kind="main", symbol="check")

    def _show_expired(self, accounts: Sequence[str]) -> None:
        t = self._view.t
        with self._clear():
            notice(t("followers.expired"), "warn")
            with element("div", "actions dialog-foot"):
                button(t("layout.cancel"), lambda: self._dialog.submit(None), kind="quiet")
                button(t("followers.again"), lambda: self.ask(accounts), kind="main")

    def _clear(self) -> Element:
        self._place.clear()
        return self._place
