"""The members of a group."""

from functools import partial
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, make_url, path
from imsg_console.features.groups.import_file import PeopleImport
from imsg_console.features.groups.page import PATH
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import button, live_text
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.filters import Filter
from imsg_console.widgets.forms import Field, Form, ask_form
from imsg_console.widgets.notices import toast
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Loaded, Position, Row
from imsg_console.widgets.tables import Column
from imsg_contract.roles import SENDERS

SHOWN_FIELDS = 6


async def show(view: View) -> None:
    """Draw the page."""
    await Members(view, await view.api.get(path(PATH, view.segments["name"]))).show()


class Members:
    """The members, and what can be done with them."""

    def __init__(self, view: View, group: Row) -> None:
        self._view, self._t, self._group = view, view.t, group
        self._path = path(PATH, group["name"], "members")
        is_owner = group["owner"] == view.session.username
        self._may_change = view.session.is_admin or (is_owner and view.session.role in SENDERS)

    async def show(self) -> None:
        """Draw the page. Raises ApiError, SessionOver."""
        t, group = self._t, self._group
        with page_head(line(group["name"], 64), line(group["note"], 200) or t("groups.members_lead")):
            if self._may_change:
                importing = PeopleImport(self._view, self._path, self._reload)
                button(t("groups.add_one"), self._add, symbol="person_add")
                button(t("groups.import"), importing.ask, symbol="upload")
            if self._view.session.role in SENDERS:
                to = make_url("/send", group=group["name"])
                button(t("groups.send"), partial(ui.navigate.to, to), kind="main", symbol="send")
        self._total = live_text("muted")
        self._table = PagedTable(
            self._view,
            t("groups.members"),
            [
                Column("to", t("groups.person"), self._person, is_main=True),
                Column("fields", t("groups.fields"), self._fields),
                Column("consent", t("groups.consent"), self._consent),
                *([Column("actions", t("groups.actions"), self._actions)] if self._may_change else []),
            ],
            self._load,
            key="key",
            texts="members",
            symbol="group_add",
            filters=[Filter("find", t("groups.find"))],
            actions={"remove": self._remove},
        )
        await self._table.load()

    async def _load(self, query: Position) -> Loaded:
        answer = await self._view.api.get(self._path, **query)
        self._total.text = self._t("groups.total", n=answer["total"])
        rows = [{**row, "key": row["to"] or next(iter(row["contacts"].values()))} for row in answer["members"]]
        return Loaded(rows, answer["next"])

    async def _reload(self) -> None:
        await self._table.reload()

    def _person(self, row: Row) -> Cell:
        if row["to"]:
            return cells.text(line(row["to"], 80))
        return [
            piece
            for method, address in row["contacts"].items()
            for piece in (cells.text(line(address, 80)), cells.muted(method_name(self._t, method)))
        ]

    def _fields(self, row: Row) -> Cell:
        named = [
            cells.text(f"{line(name, 40)}{self._t('groups.colon')}{line(value, 80)}")
            for name, value in list(row["params"].items())[:SHOWN_FIELDS]
        ]
        more = len(row["params"]) - SHOWN_FIELDS
        return [*named, cells.muted(self._t("groups.more_fields", n=more))] if more > 0 else named

    def _consent(self, row: Row) -> Cell:
        if row["consent"] is None:
            return ""
        day = self._view.times.day(row["consent"]["at"])
        return [cells.text(day), cells.muted(line(row["consent"]["source"] or "", 80))]

    def _actions(self, row: Row) -> Cell:
        name = self._t("groups.remove_of", name=line(row["key"], 80))
        return cells.button("remove", self._t("groups.remove"), name, icon="person_remove", kind="quiet")

    async def _remove(self, row: Row) -> None:
        t, name = self._t, line(row["key"], 80)
        if await confirm(self._view, t("groups.remove_title", name=name), t("groups.remove_text"), t("groups.remove")):
            await self._view.api.post(f"{self._path}/remove", {"to": [row["key"]]})
            toast(t("groups.removed", name=name))
            await self._reload()

    async def _add(self) -> None:
        t = self._t

        async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
            given = form.read()
            params = {t("groups.name_field"): given["name"]} if given["name"] else {}
            answer = await self._view.api.post(self._path, {"members": [{"to": given["to"], "params": params}]})
            if answer["problems"]:
                raise ApiError("wrong_type", answer["problems"][0]["detail"])
            return answer

        fields = [
            Field("to", t("groups.person"), hint=t("groups.person_hint"), max_length=320),
            Field("name", t("groups.name_field"), max_length=100),
        ]
        if await ask_form(self._view, t("groups.add_one"), fields, t("groups.add_action"), save) is not None:
            await self._reload()


PAGE = Page("/groups/{name}", "group", Group.USER, show, under="/groups")
