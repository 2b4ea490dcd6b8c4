"""Turning the second step of one's own log-in on and off."""

from typing import Any

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.layout import describe_error
from imsg_console.view import Group, Page, View
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import attrs, button, element, heading, redraw
from imsg_console.widgets.notices import notice


async def show(view: View) -> None:
    """Draw the page."""
    heading(1, view.t("layout.totp"))
    with element("section", "card narrow"):
        await SecondStep(view).draw()


class SecondStep:
    """Whether the second step is on, and what changes that."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    async def draw(self) -> None:
        """Draw it. Raises ApiError, SessionOver."""
        t = self._t
        is_on = (await self._view.api.get("/api/v2/me"))["totp"]
        self._place = ui.column()
        with self._place:
            element("p", "muted", t("totp.on" if is_on else "totp.off"))
            if is_on:
                button(t("totp.turn_off"), self._turn_off)
            else:
                button(t("totp.turn_on"), self._begin)
        self._trouble = element("div")

    async def _begin(self) -> None:
        t = self._t
        new = await self._call("post", "/api/v2/me/totp", {})
        if new is None:
            return
        with redraw(self._place):
            element("p", "", t("totp.scan"))
            attrs(element("img"), src=new["qr"], alt=t("totp.qr"), width="200", height="200")
            element("code", "", new["secret"])
            self._otp = attrs(ui.input(t("totp.otp")).props("outlined stack-label"), autocomplete="one-time-code")
            button(t("totp.confirm"), self._confirm, kind="main")

    async def _confirm(self) -> None:
        t = self._t
        confirmed = await self._call("post", "/api/v2/me/totp/confirm", {"otp": str(self._otp.value or "")[:32]})
        if confirmed is None:
            return
        with redraw(self._place):
            notice(t("totp.done"), "good")
            element("p", "", t("totp.codes"))
            codes = "\n".join(confirmed["recovery_codes"])
            element("pre", "", codes)
            copy_button(self._view, codes)

    async def _turn_off(self) -> None:
        t = self._t
        title = t("totp.turn_off")
        is_meant = await confirm(self._view, title, t("totp.off_text"), title)
        if is_meant and await self._call("delete", "/api/v2/me/totp") is not None:
            ui.navigate.to("/totp")

    async def _call(self, verb: str, url: str, *body: object) -> dict[str, Any] | None:
        """Call the API; where it refuses, show why and return None."""
        self._trouble.clear()
        try:
            answer: dict[str, Any] = await getattr(self._view.api, verb)(url, *body)
        except ApiError as error:
            with self._trouble:
                notice(describe_error(self._t, error), "bad")
            return None
        return answer


PAGE = Page("/totp", "totp", Group.USER, show)
