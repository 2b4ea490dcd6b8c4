"""Providers: those that are set up here, those of the settings, and the simulated ones."""

from functools import partial

from nicegui import ui

from imsg_console.client import path
from imsg_console.features.providers import form
from imsg_console.features.providers.senders import Senders
from imsg_console.message.test_message import ask_test_message
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.chips import chip
from imsg_console.widgets.dialogs import ask_to_delete, confirm, reading_dialog
from imsg_console.widgets.elements import button
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.notices import empty, error_notice, toast
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Loaded, Position, Row
from imsg_console.widgets.tables import Column, Table

MAX_NAME = 64

LISTS = {"sms": ("signatures", "templates"), "wechat": ("templates",)}
"""What can be asked for at the providers of a channel; not at those of UNLISTED kinds."""

UNLISTED = ("twilio", "http", "chuanglan", "luosimao", "mas", "smsbao", "yunpian")


async def show(view: View) -> None:
    """Draw the page."""
    providers = Providers(view)
    await providers.draw()
    await Senders(view).draw()
    if view.query.get("new") and view.session.is_admin:
        ui.timer(0.0, partial(form.add, view, providers.load), once=True)  # once a browser is there


class Providers:
    """The list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    async def draw(self) -> None:
        """Draw everything."""
        t, view = self._t, self._view
        kinds = await form.load_kinds(view)
        self._titles = {kind["kind"]: kind["title"] for kind in kinds}
        with page_head(t("layout.providers"), t("providers.lead")):
            if view.session.is_admin:
                button(t("providers.add"), partial(form.add, view, self.load), kind="main", symbol="add")
        columns = [
            Column("name", t("providers.name"), self._name, lambda row: row["name"], is_main=True),
            Column("method", t("providers.method"), lambda row: cells.method(t, row["method"])),
            Column("settings", t("providers.settings"), self._settings),
            Column("state", t("providers.state"), self._state),
            Column("changed", t("providers.changed"), self._changed),
        ]
        if view.session.is_admin:
            columns.append(Column("actions", t("providers.actions"), self._actions))
        self._table = PagedTable(
            view,
            t("layout.providers"),
            columns,
            self._load,
            key="key",
            texts="providers",
            symbol="dns",
            actions={
                "check": self._check,
                "test": lambda row: ask_test_message(view, row["method"], [row["name"]], row["name"]),
                "change": lambda row: form.change(view, row, self.load),
                "versions": self._show_versions,
                "signatures": partial(self._show_entries, "signatures"),
                "templates": partial(self._show_entries, "templates"),
                "switch": self._switch,
                "remove": self._remove,
            },
        )
        await self.load()

    async def load(self) -> None:
        """Read the providers, and draw them."""
        await self._table.load()

    async def _load(self, _: Position) -> Loaded:
        answer = await self._view.api.get("/api/v2/providers")
        return Loaded(
            [{**provider, "key": f"{provider['method']}/{provider['name']}"} for provider in answer["providers"]], None
        )

    def _name(self, row: Row) -> Cell:
        kind = self._titles.get(row["kind"], row["kind"])
        return [cells.text(line(row["name"], MAX_NAME)), *([cells.muted(kind)] if kind else [])]

    def _settings(self, row: Row) -> Cell:
        """Show where it is and by which account; the form shows the rest."""
        host, username, sender, signature = (
            str(row["settings"].get(field) or "") for field in ("host", "username", "sender", "sign_name")
        )
        values = [host, "" if username in sender else username, sender, f"【{signature}】" if signature else ""]
        return [cells.text(line(value, 80), "small") for value in filter(None, values)]

    def _state(self, row: Row) -> Cell:
        t = self._t
        state = (
            cells.chip(t("providers.enabled"), "check_circle", "good")
            if row["enabled"]
            else cells.chip(t("providers.disabled"), "pause_circle", "warn")
        )
        found = [
            [cells.chip(t("providers.attention"), "warning", "bad"), cells.text(problem["what"], "small")]
            for problem in row["attention"]
        ]
        simulated = cells.chip(t("words.simulated"), "science", "info", title=t("words.simulated_means"))
        marks = [state, simulated] if row["simulated"] else [state]
        return [*marks, *found, *(cells.muted(problem["remedy"]) for problem in row["attention"])]

    def _changed(self, row: Row) -> Cell:
        if row["version"] is None:
            return cells.muted(self._t("providers.in_settings"))
        at = self._view.times.short(row["changed_at"])
        return [cells.text(at), cells.muted(self._t("providers.version_by", n=row["version"], who=row["changed_by"]))]

    def _actions(self, row: Row) -> Cell:
        t, name = self._t, line(row["name"], MAX_NAME)

        def make(action: str, text: str) -> cells.Piece:
            return cells.button(action, t(text), t("providers.of", action=t(text), name=name), kind="quiet")

        switch = make("switch", "providers.disable" if row["enabled"] else "providers.enable")
        lists = [
            make(what, f"providers.{what}") for what in LISTS.get(row["method"], ()) if row["kind"] not in UNLISTED
        ]
        if row["version"] is None:
            test = make("test", "providers.test")
            return [[test, cells.menu(t("providers.more_of", name=name), *lists, switch) if lists else switch]]
        more = cells.menu(
            t("providers.more_of", name=name),
            *lists,
            make("versions", "providers.versions"),
            switch,
            make("remove", "providers.remove_action"),
        )
        return [
            [
                make("check", "providers.check"),
                make("test", "providers.test"),
                make("change", "providers.change"),
                more,
            ]
        ]

    async def _check(self, row: Row) -> None:
        t, name = self._t, line(row["name"], MAX_NAME)
        answer = await self._view.api.post(f"{_path(row)}/check", {})
        if answer["ok"]:
            toast(t("providers.check_ok", name=name))
        if answer["why"]:
            with reading_dialog(self._view, t("providers.check_of", name=name)):
                error_notice(answer["why"], answer["remedy"] or "")

    async def _switch(self, row: Row) -> None:
        t, name = self._t, line(row["name"], MAX_NAME)
        if row["enabled"] and not await confirm(
            self._view, t("providers.disable_ask", name=name), t("providers.disable_text"), t("providers.disable")
        ):
            return
        await self._view.api.patch(_path(row), {"enabled": not row["enabled"]})
        toast(t("providers.disabled_now" if row["enabled"] else "providers.enabled_now", name=name))
        await self.load()

    async def _remove(self, row: Row) -> None:
        if await ask_to_delete(self._view, _path(row), "providers.remove", name=line(row["name"], MAX_NAME)):
            await self.load()

    async def _show_entries(self, what: str, row: Row) -> None:
        """Show what the provider has: signatures or templates."""
        t, name = self._t, line(row["name"], MAX_NAME)
        answer = await self._view.api.get(f"{_path(row)}/{what}")
        with reading_dialog(self._view, t(f"providers.{what}_of", name=name), wide=True):
            if row["simulated"]:
                chip(t("words.simulated"), "science", "info").tooltip(t("words.simulated_means"))
            columns = [
                Column("text", t(f"providers.{what}"), self._entry, is_main=True),
                Column("review", t("providers.review"), self._review),
                *([Column("filing", t("providers.filing"), self._filing)] if what == "signatures" else []),
                Column(
                    "reason", t("providers.reason"), lambda row: cells.text(line(row["reason"] or "", 300), "small")
                ),
            ]
            if answer[what]:
                Table(self._view, t(f"providers.{what}_of", name=name), columns, key="id").show(answer[what])
            else:
                empty(t(f"providers.no_{what}"), "", "dns")

    def _entry(self, entry: Row) -> Cell:
        text = cells.text(line(entry["text"], 300))
        return text if entry["id"] == entry["text"] else [text, cells.muted(line(entry["id"], MAX_NAME))]

    def _review(self, entry: Row) -> Cell:
        tone, symbol = {
            "approved": ("good", "check_circle"),
            "reviewing": ("warn", "hourglass_top"),
            "unknown": ("info", "help"),
        }.get(entry["review"], ("bad", "block"))
        return cells.chip(self._t(f"providers.review_{entry['review']}"), symbol, tone)

    def _filing(self, entry: Row) -> Cell:
        if entry["filing"] is None:
            return cells.muted(self._t("providers.filing_unknown"))
        tone, symbol = {"filed": ("good", "check_circle"), "filing": ("warn", "hourglass_top")}.get(
            entry["filing"], ("bad", "warning")
        )
        return cells.chip(self._t(f"providers.filing_{entry['filing']}"), symbol, tone)

    async def _show_versions(self, row: Row) -> None:
        t, name = self._t, line(row["name"], MAX_NAME)
        answer = await self._view.api.get(f"{_path(row)}/versions")
        with reading_dialog(self._view, t("providers.versions_of", name=name), wide=True) as opened:

            async def restore(version: Row) -> None:
                await self._view.api.post(f"{_path(row)}/restore", {"version": version["version"]})
                opened.close()
                toast(t("providers.restored", name=name, n=version["version"]))
                await self.load()

            columns = [
                Column("version", t("providers.version"), lambda version: str(version["version"]), is_main=True),
                Column("settings", t("providers.settings"), self._settings),
                Column("changed", t("providers.changed"), self._changed),
                Column("actions", t("providers.actions"), lambda version: self._restore_button(version, row)),
            ]
            table = Table(
                self._view, t("providers.versions_of", name=name), columns, key="version", actions={"restore": restore}
            )
            table.show(answer["versions"])

    def _restore_button(self, version: Row, row: Row) -> Cell:
        t = self._t
        if version["version"] == row["version"]:
            return cells.muted(t("providers.current"))
        return cells.button("restore", t("providers.restore"), t("providers.restore_n", n=version["version"]))


def _path(row: Row) -> str:
    return path("/api/v2/providers", row["method"], row["name"])


PAGE = Page("/providers", "providers", Group.ADMIN, show, icon="dns")
