"""The audit: a sentence on each change, the newest first."""

import re
from collections.abc import Mapping

from imsg_console.client import ApiError
from imsg_console.features.audit.changes import MAX_NAME, Changes
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.filters import Filter
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Loaded, Position, Row
from imsg_console.widgets.tables import Column
from imsg_contract.audit import ACTIONS

PATH = "/api/v2/audit"

NAMES = tuple(dict.fromkeys(action for actions in ACTIONS.values() for action in actions))

ACCOUNTS = frozenset({"provider_added", "provider_changed", "provider_restored", "provider_removed"})
"""Actions whose states hold the settings of a provider's account."""

ID = re.compile(r"([0-9a-f]{8})[0-9a-f]{24}(-[0-9]+)?")
"""The id of a request or a message; its beginning is shown, the whole is the tooltip."""


async def show(view: View) -> None:
    """Draw the page."""
    await Audit(view).show()


class Audit:
    """The filters and the list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        self._changes = Changes(view.t, view.times)
        self._titles: Mapping[str, Mapping[str, str]] = {}

    async def show(self) -> None:
        """Draw the page, and load the newest."""
        view, t = self._view, self._t
        page_head(t("layout.audit"), t("audit.lead"))
        table = PagedTable(
            view,
            t("layout.audit"),
            [
                Column("sentence", t("audit.sentence"), self._write, is_main=True),
                Column("change", t("audit.change"), self._write_change),
                Column("from", t("audit.from"), self._write_origin),
                Column("at", t("audit.at"), lambda row: view.times.short(row["at"])),
            ],
            self._load,
            key="id",
            texts="audit",
            symbol="history_edu",
            filters=[
                Filter("actor", t("audit.actor")),
                Filter(
                    "action",
                    t("audit.action"),
                    {"": t("audit.any"), **{action: t(f"audit.name_{action}") for action in NAMES}},
                ),
                Filter("target", t("audit.target")),
            ],
            has_refresh=True,
            counts=True,
        )
        await table.load()

    async def _load(self, query: Position) -> Loaded:
        answer = await self._view.api.get(PATH, **query)
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
        t, actor, target = self._t, line(row["actor"], MAX_NAME), line(row["target"], MAX_NAME)
        title = ""
        if actor.startswith("imsg:"):
            actor = t("audit.imsg")
        if target.startswith("imsg:"):
            target = t("audit.installation" if target == "imsg:installation" else "audit.unknown_user")
        elif target == "*":
            target = t("audit.everybody")
        elif match := ID.fullmatch(target):
            title, target = target, f"{match[1]}…{match[2] or ''}"
        if row["action"] not in NAMES:
            sentence = t("audit.did", actor=actor, action=line(row["action"], MAX_NAME), target=target)
        else:
            sentence = t(f"audit.did_{row['action']}", actor=actor, target=target)
        return cells.text(sentence, title=title)

    def _write_change(self, row: Row) -> Cell:
        before, after = row["before"] or {}, row["after"] or {}
        titles = self._titles.get(str((after or before).get("kind")), {}) if row["action"] in ACCOUNTS else {}
        pieces = [cells.muted(text) for text in self._changes.write(before, after, titles)]
        return [pieces] if pieces else ""

    def _write_origin(self, row: Row) -> Cell:
        pieces = [cells.text(line(row["address"] or "—", MAX_NAME))]
        if row["key"]:
            pieces.append(cells.muted(self._t("audit.by_key", key=line(row["key"], MAX_NAME))))
        return pieces


PAGE = Page("/audit", "audit", Group.ADMIN, show, icon="history_edu")
