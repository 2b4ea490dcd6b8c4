"""The list of groups."""

from typing import Any

from nicegui import ui

from imsg_console.client import make_url, path
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.dialogs import ask_to_delete
from imsg_console.widgets.elements import button
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.forms import FieldMaker, Form, ask_form
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column
from imsg_contract.roles import SENDERS

PATH = "/api/v2/groups"


async def show(view: View) -> None:
    """Draw the page."""
    await Groups(view).show()


class Groups:
    """The list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._may_change = view.session.role in SENDERS

    async def show(self) -> None:
        """Draw the page. Raises ApiError, SessionOver."""
        t = self._t
        with page_head(t("layout.groups"), t("groups.lead")):
            if self._may_change:
                button(t("groups.add"), self._add, kind="main", symbol="group_add")
        self._table = PagedTable(
            self._view,
            t("layout.groups"),
            [
                Column("name", t("groups.name"), self._name, lambda row: row["name"], is_main=True),
                Column("members", t("groups.members"), lambda row: f"{row['members']:,}", lambda row: row["members"]),
                Column("owner", t("groups.owner"), self._owner),
                Column("actions", t("groups.actions"), self._actions),
            ],
            PATH,
            key="name",
            texts="groups",
            symbol="groups",
            actions={"send": self._send, "change": self._change, "delete": self._delete},
        )
        await self._table.load()

    def _name(self, row: Row) -> Cell:
        pieces = [cells.link(line(row["name"], 64), path("/groups", row["name"]))]
        return [*pieces, cells.muted(line(row["note"], 120))] if row["note"] else pieces

    def _owner(self, row: Row) -> Cell:
        name = cells.text(line(row["owner"], 40))
        return [name, cells.muted(self._t("groups.is_shared"))] if row["shared"] else name

    def _actions(self, row: Row) -> Cell:
        t, name = self._t, line(row["name"], 64)
        if not self._may_change:
            return ""
        send = cells.button("send", t("groups.send"), t("groups.send_to", name=name), icon="send", kind="quiet")
        if not (self._view.session.is_admin or row["owner"] == self._view.session.username):
            return send
        more = cells.menu(
            t("groups.more", name=name),
            cells.button("change", t("groups.change"), icon="edit"),
            cells.button("delete", t("groups.delete"), icon="delete"),
        )
        return [[send, more]]

    def _send(self, row: Row) -> None:
        ui.navigate.to(make_url("/send", group=row["name"]))

    async def _add(self) -> None:
        answer = await ask_group(self._view, None)
        if answer is not None:
            ui.navigate.to(path("/groups", answer["name"]))

    async def _change(self, row: Row) -> None:
        if await ask_group(self._view, row) is not None:
            await self._table.reload()

    async def _delete(self, row: Row) -> None:
        if await ask_to_delete(self._view, path(PATH, row["name"]), "groups.delete", name=line(row["name"], 64)):
            await self._table.reload()


async def ask_group(view: View, group: Row | None) -> Any:  # noqa: ANN401  any JSON
    """Show the form of a new group or of `group`; return the API's answer, None where the form was closed."""
    t = view.t

    async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
        body = form.read()
        return await (view.api.post(PATH, body) if group is None else view.api.patch(path(PATH, group["name"]), body))

    make = FieldMaker(t, "groups.", group or {})
    fields = [make("name", max_length=64), make("note", max_length=500), make("shared", "switch")]
    title = t("groups.add") if group is None else t("groups.change")
    return await ask_form(view, title, fields, t("groups.save"), save)


PAGE = Page("/groups", "groups", Group.USER, show, icon="groups")
