"""The list of users: what a row shows, and what can be done with one."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from imsg_console.client import ApiError, path
from imsg_console.features.users import form
from imsg_console.features.users.form import Done
from imsg_console.features.users.records import MOST_NAME, User
from imsg_console.sanitize import line
from imsg_console.time_format import TimeFormat
from imsg_console.view import View
from imsg_console.widgets.bars import usage
from imsg_console.widgets.chips import chip
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import attrs, button, element, icon
from imsg_console.widgets.notices import toast
from imsg_console.widgets.tables import Column, Row

SYMBOLS = {"email": "mail", "phone": "smartphone", "wechat": "forum"}


class Listing:
    """Draws the cells of users. `done` shows the list anew."""

    def __init__(self, view: View, done: Done) -> None:
        self._view = view
        self._done = done
        self._moments = TimeFormat(view.timezone, english=view.t.language == "en")

    def columns(self) -> Sequence[Column]:
        """Name the columns."""
        t = self._view.t
        return (
            Column(t("users.username"), self._name, "main user-name", lambda user: user["username"].lower()),
            Column(t("users.contacts"), self._contacts, "user-contacts"),
            Column(t("users.bar_hour"), self._hour, "user-bar", lambda user: user["used_hour"]),
            Column(t("users.bar_day"), self._day, "user-bar", lambda user: user["used_day"]),
            Column(t("users.actions"), self._actions, "user-actions"),
        )

    def _name(self, user: Row) -> None:
        t = self._view.t
        with element("div", "stack tight user-who"):
            element("span", "wrap-anywhere", line(user["username"], MOST_NAME))
            with element("div", "user-chips"):
                if user["role"] == "admin":
                    chip(t("words.role_admin"), "admin_panel_settings", "info")
                if not user["available"]:
                    chip(t("users.off"), "block", "bad")
                if user["username"] == self._view.session.username:
                    chip(t("users.you"))

    def _contacts(self, user: Row) -> None:
        t = self._view.t
        given = [(name, user[name]) for name in SYMBOLS if user[name]]
        with element("ul", "contacts"):
            for name, value in given:
                with element("li", "side-by-side"):
                    attrs(icon(SYMBOLS[name]), title=t(f"users.{name}"))
                    element("span", "unseen", t(f"users.{name}"))
                    element("span", "wrap-anywhere", line(value, 254))
            if not given:
                element("li", "muted", t("users.no_contact"))

    def _hour(self, user: Row) -> None:
        usage(self._view.t("users.bar_hour"), user["used_hour"], user["per_hour"], "")

    def _day(self, user: Row) -> None:
        t = self._view.t
        usage(t("users.bar_day"), user["used_day"], user["per_day"], "")
        if user["recipients_per_day"] is not None:
            usage(t("users.bar_recipients"), user["used_recipients"], user["recipients_per_day"], "")

    def _actions(self, user: Row) -> None:
        t, view = self._view.t, self._view
        name = line(user["username"], MOST_NAME)

        async def edit() -> None:
            await form.edit(view, user, self._done)

        async def reset() -> None:
            await form.reset(view, user, self._done)

        async def switch() -> None:
            await self._switch(user)

        async def remove() -> None:
            await self._remove(user)

        with element("div", "actions actions-tight"):
            attrs(button(t("users.edit"), edit), aria_label=t("users.edit_of", name=name))
            more = ui.button(icon="more_vert").props("flat round dense").classes("more")
            attrs(more, aria_label=t("users.more_of", name=name), aria_haspopup="dialog")
            with more, attrs(ui.menu().classes("menu"), role="dialog", aria_label=t("users.more_of", name=name)):
                _entry("password", t("users.reset"), reset)
                if user["available"]:
                    _entry("block", t("users.stop"), switch)
                else:
                    _entry("check_circle", t("users.allow"), switch)
                target = f"/messages?{urlencode({'username': user['username']})}"
                _entry("mail", t("users.messages_of"), lambda: ui.navigate.to(target))
                ui.separator()
                _entry("delete", t("users.delete"), remove)

    async def _switch(self, user: User) -> None:
        t, view = self._view.t, self._view
        if user["available"] and not await confirm(
            view, t("users.stop_title", n=1), t("users.stop_text"), t("users.stop")
        ):
            return
        await view.api.patch(path("/api/v2/users", user["username"]), {"available": not user["available"]})
        toast(t("users.saved", name=line(user["username"], MOST_NAME)))
        await self._done()

    async def _remove(self, user: User) -> None:
        t, view = self._view.t, self._view
        name = line(user["username"], MOST_NAME)
        if await confirm(view, t("users.delete_of", name=name), t("users.delete_text"), t("users.delete_action")):
            await view.api.delete(path("/api/v2/users", user["username"]))
            toast(t("users.deleted", name=name))
            await self._done()


def _entry(symbol: str, text: str, on_click: Any) -> None:  # noqa: ANN401  a handler, with or without an await
    with ui.item(on_click=on_click).props('clickable v-close-popup role="button"'):
        icon(symbol)
        element("span", "menu-text", text)


async def find_user(view: View, username: str) -> User | None:
    """Return one user, if there is such."""
    try:
        return await view.api.get(path("/api/v2/users", username))
    except ApiError:
        return None
