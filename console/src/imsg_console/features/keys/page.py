"""API keys: a user's own, and for administrators everybody's."""

from datetime import UTC, datetime, timedelta
from functools import partial

from nicegui import ui

from imsg_console.client import path
from imsg_console.features.keys import form
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.dialogs import ask_to_delete
from imsg_console.widgets.elements import button
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.filters import Filter
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column

PATH = "/api/v2/keys"

ENDS_SOON = timedelta(days=14)
"""From when on a key's end is a warning."""

MAX_NAME = 64


async def show(view: View) -> None:
    """Draw the page."""
    keys = Keys(view)
    keys.draw()
    await keys.table.load()
    if view.query.get("new"):
        ui.timer(0.0, partial(form.create, view, keys.table.reload), once=True)  # once a browser is there


class Keys:
    """The search and the list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    def draw(self) -> None:
        """Draw everything but the rows."""
        view, t = self._view, self._t
        with page_head(t("layout.keys"), t("keys.lead")):
            button(t("keys.new"), lambda: form.create(view, self.table.reload), kind="main", symbol="add")
        self.table = PagedTable(
            view,
            t("layout.keys"),
            [
                Column("name", t("keys.name"), self._name, is_main=True),
                Column("scopes", t("keys.scopes"), self._scopes),
                Column("networks", t("keys.networks"), self._networks),
                Column("state", t("keys.state"), self._state),
                Column("used", t("keys.used"), self._used),
                Column("actions", t("keys.actions"), self._actions),
            ],
            PATH,
            key="id",
            texts="keys",
            symbol="vpn_key",
            filters=[Filter("username", t("keys.search"), max_length=MAX_NAME)] if view.session.is_admin else [],
            actions={
                "rotate": lambda key: form.rotate(view, key, self.table.reload),
                "edit": lambda key: form.change(view, key, self.table.reload),
                "end": self._end,
            },
        )

    def _name(self, key: Row) -> Cell:
        owner = [cells.muted(line(key["username"], MAX_NAME))] if self._view.session.is_admin else []
        t, name = self._t, [cells.text(line(key["name"], MAX_NAME))]
        if key["kind"] == "test":
            name.append(cells.chip(t("words.test"), "science", "info", title=t("keys.kind_hint")))
        return [name, cells.text(key["hint"], "mono small"), *owner]

    def _scopes(self, key: Row) -> Cell:
        return self._t.join_names(form.name_scope(self._t, scope) for scope in key["scopes"])

    def _networks(self, key: Row) -> Cell:
        return [cells.text(network, "mono") for network in key["networks"]] or [cells.muted(self._t("keys.everywhere"))]

    def _state(self, key: Row) -> Cell:
        t, now = self._t, datetime.now(UTC)
        if key["expires_at"] is None:
            return cells.chip(t("keys.valid"), "check_circle", "good")
        ends_at = datetime.fromisoformat(key["expires_at"])
        if ends_at <= now:
            chip = cells.chip(t("keys.ended"), "block", "bad")
        elif ends_at <= now + ENDS_SOON:
            chip = cells.chip(t("keys.ends_soon"), "schedule", "warn")
        else:
            chip = cells.chip(t("keys.valid"), "check_circle", "good")
        until = t("keys.until", day=form.find_last_day(self._view, key))
        return [chip, cells.text(until, "muted small", title=self._view.times.full(key["expires_at"]))]

    def _used(self, key: Row) -> Cell:
        if key["last_used_at"] is None:
            return cells.muted(self._t("keys.never_used"))
        at = self._view.times.short(key["last_used_at"])
        return [cells.text(at), cells.muted(self._t("keys.used_from", address=key["last_used_from"]))]

    def _actions(self, key: Row) -> Cell:
        t, name = self._t, line(key["name"], MAX_NAME)
        return [
            [
                cells.button("edit", t("keys.edit"), t("keys.edit_of", name=name)),
                cells.button("rotate", t("keys.rotate"), t("keys.rotate_of", name=name)),
                cells.button("end", t("keys.end_action"), t("keys.end_of", name=name), kind="quiet"),
            ]
        ]

    async def _end(self, key: Row) -> None:
        if await ask_to_delete(self._view, path(PATH, key["id"]), "keys.end", name=line(key["name"], MAX_NAME)):
            await self.table.reload()


PAGE = Page("/keys", "keys", Group.USER, show, icon="vpn_key")
