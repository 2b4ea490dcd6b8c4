"""The audit: who did what, a sentence a line, the newest first."""

from collections.abc import Mapping
from datetime import UTC, datetime

from imsg_console.client import ApiError
from imsg_console.features.audit.changes import MOST_NAME, Changes
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.elements import button, element
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.fields import choice_field, read_search, search_field
from imsg_console.widgets.notices import empty
from imsg_console.widgets.paging import Loaded, Position, Row
from imsg_console.widgets.tables import Column, PagedTable
from imsg_contract.audit import ACTIONS

PATH = "/api/v2/audit"

NAMES = tuple(dict.fromkeys(action for actions in ACTIONS.values() for action in actions))

ACCOUNTS = frozenset({"provider_added", "provider_changed", "provider_restored", "provider_removed"})
"""Actions whose states hold the settings of a provider's account."""


async def show(view: View) -> None:
    """Draw the page."""
    await Audit(view).show()


class Audit:
    """The filters and the list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._changes = Changes(view.t, view.times)
        self._titles: Mapping[str, Mapping[str, str]] = {}
        names = ("actor", "action", "target")
        self._filters = {name: view.query.get(name, "").replace("\0", "").strip() for name in names}

    async def show(self) -> None:
        """Draw it, and load the newest."""
        view, t = self._view, self._t
        page_head(t("layout.audit"), t("audit.lead"))
        actions = {"": t("audit.any")} | {name: t(f"audit.name_{name}") for name in NAMES}
        chosen = self._filters["action"] if self._filters["action"] in actions else ""
        with element("search", "line"):
            self._actor = search_field(t("audit.actor"), self._filters["actor"], self._filter)
            self._action = choice_field(t("audit.action"), actions, chosen, self._filter)
            self._target = search_field(t("audit.target"), self._filters["target"], self._filter)
            button(t("audit.refresh"), self._refresh, kind="quiet", symbol="refresh")
        columns = [
            Column("sentence", t("audit.sentence"), self._write, is_main=True),
            Column("change", t("audit.change"), self._write_change),
            Column("from", t("audit.from"), self._write_origin),
            Column("at", t("audit.at"), lambda row: view.times.short(row["at"], datetime.now(UTC))),
        ]
        self._table = PagedTable(
            view, t("layout.audit"), columns, self._load, key="id", when_empty=self._draw_empty, counts=True
        )
        await self._table.load()

    async def _refresh(self) -> None:
        await self._table.load()

    async def _filter(self) -> None:
        self._filters = {
            "actor": read_search(self._actor),
            "action": str(self._action.value or ""),
            "target": read_search(self._target),
        }
        self._view.replace_query(**self._filters)
        await self._table.load()

    async def _load(self, position: Position) -> Loaded:
        wanted = {name: value for name, value in self._filters.items() if value}
        answer = await self._view.api.get(PATH, **wanted, **position)
        if not self._titles and any(row["action"] in ACCOUNTS for row in answer["audit"]):
            self._titles = await self._load_titles()
        rows = [{"id": f"{row['at']} {at}", **row} for at, row in enumerate(answer["audit"])]
        return Loaded.read({**answer, "audit": rows}, "audit")

    async def _load_titles(self) -> Mapping[str, Mapping[str, str]]:
        """Return the titles of the fields of each kind of provider that the running senders know."""
        try:
            kinds = (await self._view.api.get("/api/v2/providers/kinds"))["kinds"]
        except ApiError:
            return {}  # the fields go by their names until the next load
        return {kind["kind"]: {field["name"]: field["title"] for field in kind["fields"]} for kind in kinds}

    def _write(self, row: Row) -> Cell:
        t, actor, target = self._t, line(row["actor"], MOST_NAME), line(row["target"], MOST_NAME)
        if actor.startswith("imsg:"):
            actor = t("audit.imsg")
        if target.startswith("imsg:"):
            target = t("audit.installation" if target == "imsg:installation" else "audit.unknown_user")
        elif target == "*":
            target = t("audit.everybody")
        if row["action"] not in NAMES:
            return t("audit.did", actor=actor, action=line(row["action"], MOST_NAME), target=target)
        return t(f"audit.did_{row['action']}", actor=actor, target=target)

    def _write_change(self, row: Row) -> Cell:
        before, after = row["before"] or {}, row["after"] or {}
        titles = self._titles.get(str((after or before).get("kind")), {}) if row["action"] in ACCOUNTS else {}
        pieces = [cells.muted(text) for text in self._changes.write(before, after, titles)]
        return [pieces] if pieces else ""

    def _write_origin(self, row: Row) -> Cell:
        pieces = [cells.text(line(row["address"] or "—", MOST_NAME))]
        if row["key"]:
            pieces.append(cells.muted(self._t("audit.by_key", key=line(row["key"], MOST_NAME))))
        return pieces

    def _draw_empty(self) -> None:
        t = self._t
        if any(self._filters.values()):
            empty(
                t("audit.none_title"), t("audit.none_text"), "search_off", action=t("audit.show_all"), target="/audit"
            )
        else:
            empty(t("audit.empty_title"), t("audit.empty_text"), "history_edu")


PAGE = Page("/audit", "audit", Group.ADMIN, show, icon="history_edu")
