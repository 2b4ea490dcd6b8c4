"""Users: who may send, how much, and how much of it is used."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, make_url, path
from imsg_console.features.users import form, import_file
from imsg_console.features.users.records import MAX_NAME, User, locate_error
from imsg_console.near_limits import find_near_limits
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.dialogs import ask_to_delete, confirm
from imsg_console.widgets.elements import attrs, button, element, link_to, style_sheet
from imsg_console.widgets.exports import download_button
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.filters import Filter
from imsg_console.widgets.notices import toast
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Loaded, Position, Row
from imsg_console.widgets.tables import Column
from imsg_console.widgets.work import Work, run_each, start

PATH = "/api/v2/users"

CONTACT_ICONS = {"email": "mail", "phone": "smartphone", "wechat": "forum"}


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("users")
    users = Users(view)
    users.draw()
    await users.table.load()
    dialog = None
    if view.query.get("new"):
        dialog = partial(form.create, view, users.reload)
    elif (name := view.query.get("edit")) and (user := await _find_user(view, name)) is not None:
        dialog = partial(form.change, view, user, users.reload)
    if dialog is not None:
        ui.timer(0.0, dialog, once=True)  # once a browser is there


class Users:
    """The search, the list, and what can be done with the chosen users."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._only_near = view.query.get("near") == "1" and not view.query.get("search")

    def draw(self) -> None:
        """Draw everything but the rows."""
        view, t = self._view, self._t
        with page_head(t("layout.users"), t("users.lead")):
            if view.may("POST /register"):
                button(t("users.import"), lambda: import_file.ask(view, self.reload), symbol="upload")
            download_button(t, t("users.export"), lambda kind: self._export(kind, ()))
            if view.may("POST /register"):
                button(t("users.new"), lambda: form.create(view, self.reload), kind="main", symbol="person_add")
        if self._only_near:
            with element("div", "notice notice-info"):
                element("span", "", t("users.only_near"))
                link_to(t("users.show_all"), "/users")
        self._bar = attrs(element("div", "several"), role="region", aria_label=t("users.several"))
        self.table = PagedTable(
            view,
            t("users.caption"),
            [
                Column("user", t("users.username"), self._name, lambda user: user["username"].lower(), is_main=True),
                Column("contacts", t("users.contacts"), self._contacts),
                Column("hour", t("users.bar_hour"), self._hour, lambda user: user["used_hour"]),
                Column("day", t("users.bar_day"), self._day, lambda user: user["used_day"]),
                Column("actions", t("users.actions"), self._actions),
            ],
            self._load,
            key="username",
            name=lambda user: line(user["username"], MAX_NAME),
            texts="near" if self._only_near else "users",
            symbol="task_alt" if self._only_near else "group",
            filters=[Filter("search", t("users.search"))],
            has_refresh=True,
            counts=True,
            on_choose=self._draw_chosen,
            actions={
                "edit": lambda user: form.change(view, user, self.reload),
                "reset": lambda user: form.reset_password(view, user, self.reload),
                "switch": self._switch,
                "messages": lambda user: ui.navigate.to(make_url("/messages", username=user["username"])),
                "keys": lambda user: ui.navigate.to(make_url("/keys", username=user["username"])),
                "delete": self._delete,
            },
        )
        self._draw_chosen()

    async def reload(self) -> None:
        """Show the same page of the list again; what is chosen stays chosen."""
        await self.table.reload()

    async def _load(self, query: Position) -> Loaded:
        self._only_near = self._only_near and not query["search"]
        if self._only_near:
            return Loaded(await find_near_limits(self._view.api), None)
        return Loaded.read(await self._view.api.get(PATH, **query), "users")

    def _name(self, user: Row) -> Cell:
        t = self._t
        chips = []
        if user["role"] != "user":
            chips.append(cells.chip(t(f"words.role_{user['role']}"), "admin_panel_settings", "info"))
        if not user["available"]:
            chips.append(cells.chip(t("users.off"), "block", "bad"))
        if user["username"] == self._view.session.username:
            chips.append(cells.chip(t("users.you")))
        department = [cells.muted(line(user["department"], MAX_NAME))] if user["department"] else []
        return [[cells.text(line(user["username"], MAX_NAME)), *department, *chips]]

    def _contacts(self, user: Row) -> Cell:
        return [
            cells.text(line(user[name], 254), icon=icon, title=self._t(f"users.{name}"))
            for name, icon in CONTACT_ICONS.items()
            if user[name]
        ]

    def _hour(self, user: Row) -> Cell:
        return _draw_meters((self._t("users.bar_hour"), user["used_hour"], user["per_hour"]))

    def _day(self, user: Row) -> Cell:
        t = self._t
        return _draw_meters(
            (t("users.bar_day"), user["used_day"], user["per_day"]),
            (t("users.bar_recipients"), user["used_recipients"], user["recipients_per_day"]),
        )

    def _actions(self, user: Row) -> Cell:
        t, name = self._t, line(user["username"], MAX_NAME)
        if not self._view.may("PATCH /users/{username}"):
            return cells.button("messages", t("users.messages_of"), icon="mail")
        switch, icon = (t("users.stop"), "block") if user["available"] else (t("users.allow"), "check_circle")
        more = cells.menu(
            t("users.more_of", name=name),
            cells.button("reset", t("users.reset"), icon="password"),
            cells.button("switch", switch, icon=icon),
            cells.button("messages", t("users.messages_of"), icon="mail"),
            cells.button("keys", t("users.keys_of"), icon="vpn_key"),
            cells.button("delete", t("users.delete"), icon="delete"),
        )
        return [[cells.button("edit", t("users.edit"), t("users.edit_of", name=name)), more]]

    async def _switch(self, user: User) -> None:
        if user["available"] and not await self._confirm_stop(1):
            return
        await self._view.api.patch(path(PATH, user["username"]), {"available": not user["available"]})
        toast(self._t("users.saved", name=line(user["username"], MAX_NAME)))
        await self.reload()

    async def _delete(self, user: User) -> None:
        name = line(user["username"], MAX_NAME)
        if await ask_to_delete(self._view, path(PATH, user["username"]), "users.delete", name=name):
            await self.reload()

    async def _confirm_stop(self, count: int) -> bool:
        t = self._t
        return await confirm(self._view, t("users.stop_title", n=count), t("users.stop_text"), t("users.stop"))

    def _draw_chosen(self) -> None:
        """Draw what can be done with the chosen users; nothing where none is chosen."""
        t, count = self._t, len(self.table.table.chosen)
        self._bar.set_visibility(bool(count))
        self._bar.clear()
        if not count:
            return
        with self._bar:
            element("strong", "", t("layout.chosen", n=count))
            with ui.row():
                if self._view.may("PATCH /users/{username}"):
                    button(t("users.set_limits"), self._set_limits, symbol="speed")
                    button(t("users.allow"), lambda: self._change_chosen({"available": True}), symbol="check_circle")
                    button(t("users.stop"), self._stop_chosen, symbol="block")
                download_button(t, t("users.export_chosen"), self._export_chosen)
                if self._view.may("DELETE /users/{username}"):
                    button(t("users.delete"), self._delete_chosen, symbol="delete")
                button(t("users.clear"), self.table.table.choose_none, kind="quiet")

    def _export(self, kind: str, users: Sequence[User]) -> None:
        import_file.export(self._view, self.table.filters.values["search"], users, kind)

    def _export_chosen(self, kind: str) -> None:
        self._export(kind, list(self.table.table.chosen.values()))

    async def _set_limits(self) -> None:
        if limits := await form.ask_limits(self._view, len(self.table.table.chosen)):
            self._change_chosen(limits)

    async def _stop_chosen(self) -> None:
        if await self._confirm_stop(len(self.table.table.chosen)):
            self._change_chosen({"available": False})

    def _change_chosen(self, fields: Mapping[str, Any]) -> None:
        self._start("work_change", lambda name: self._view.api.patch(path(PATH, name), fields))

    async def _delete_chosen(self) -> None:
        t = self._t
        title = t("users.delete_several", n=len(self.table.table.chosen))
        if await confirm(self._view, title, t("users.delete_text"), t("users.delete")):
            self._start("work_delete", lambda name: self._view.api.delete(path(PATH, name)))

    def _start(self, title: str, do: Callable[[str], Awaitable[object]]) -> None:
        """Call `do` for each chosen user, as work that continues when the page is left."""
        t, names = self._t, list(self.table.table.chosen)

        async def do_one(name: str, work: Work) -> None:
            try:
                await do(name)
            except ApiError as error:
                if error.reason == "unreachable":
                    raise
                work.failed += 1
                why = locate_error(t, error)[1]
                work.notes.append(t("users.work_note", name=line(name, MAX_NAME), why=why))

        async def do_all(work: Work) -> None:
            await run_each(work, names, do_one)
            self.table.table.choose_none()
            await self.reload()

        start(self._view, t(f"users.{title}", n=len(names)), do_all, len(names))


async def _find_user(view: View, username: str) -> User | None:
    try:
        return await view.api.get(path(PATH, username))
    except ApiError:
        return None


PAGE = Page("/users", "users", Group.ADMIN, show, icon="group")


def _draw_meters(*quotas: tuple[str, int, int | None]) -> Cell:
    """Draw a bar for each that is limited: its label, what is used of it, its limit."""
    return [cells.meter(label, used, limit) for label, used, limit in quotas if limit is not None]
