"""The suppression list: the addresses to which nothing is sent, why, and since when."""

from imsg_console.client import path
from imsg_console.features.suppressions import form
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets import cells
from imsg_console.widgets.cells import Cell
from imsg_console.widgets.dialogs import ask_to_delete
from imsg_console.widgets.elements import button
from imsg_console.widgets.exports import download_button
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.filters import Filter
from imsg_console.widgets.paged_table import PagedTable
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column

MAX_SHOWN = 80


async def show(view: View) -> None:
    """Draw the page."""
    suppressions = Suppressions(view)
    suppressions.draw()
    await suppressions.table.load()


class Suppressions:
    """The filters and the list."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t

    def draw(self) -> None:
        """Draw everything but the rows."""
        view, t = self._view, self._t
        with page_head(t("layout.suppressions"), t("suppressions.lead")):
            if view.may("POST /suppressions"):
                button(t("suppressions.import"), lambda: form.import_file(view, self.table.reload), symbol="upload")
            download_button(
                t, t("suppressions.export"), lambda kind: form.export(view, self.table.filters.values, kind)
            )
            if view.may("POST /suppressions"):
                add, symbol = t("suppressions.add"), "person_add_disabled"
                button(add, lambda: form.add(view, self.table.reload), kind="main", symbol=symbol)
        any_of = {"": t("suppressions.any")}
        self.table = PagedTable(
            view,
            t("layout.suppressions"),
            [
                Column("to", t("suppressions.column_to"), self._address, lambda row: row["to"], is_main=True),
                Column("reason", t("suppressions.column_reason"), self._why, lambda row: row["reason"]),
                Column("scope", t("suppressions.column_scope"), self._scope),
                Column("since", t("suppressions.column_created_at"), self._since, lambda row: row["created_at"]),
                Column("actions", t("suppressions.actions"), self._actions),
            ],
            form.PATH,
            key="id",
            texts="suppressions",
            symbol="task_alt",
            filters=[
                Filter("to", t("suppressions.search")),
                Filter("method", t("suppressions.column_method"), any_of | form.list_methods(view)),
                Filter("reason", t("suppressions.column_reason"), any_of | form.list_reasons(view)),
            ],
            counts=True,
            actions={"remove": self._remove},
        )

    def _name(self, row: Row) -> str:
        """Return the address. An erased one is known by a digest, whose first digits tell it from others."""
        if row["to"].startswith("#"):
            return self._t("suppressions.erased", mark=line(row["to"][1:9]))
        return line(row["to"], MAX_SHOWN)

    def _address(self, row: Row) -> Cell:
        return [cells.text(self._name(row)), cells.method(self._t, row["method"])]

    def _why(self, row: Row) -> Cell:
        t = self._t
        pieces = [cells.text(t.get(f"suppressions.reason_{row['reason']}", line(row["reason"])))]
        pieces += [cells.muted(line(text, 200)) for text in (row["evidence"], row["note"]) if text]
        if row["message"]:
            pieces.append(cells.link(t("suppressions.message"), path("/messages", row["message"])))
        return pieces

    def _scope(self, row: Row) -> Cell:
        t, scope = self._t, row["scope"]
        if scope is None:
            return t("suppressions.scope_all")
        kind = t(f"suppressions.category_{scope['category']}") if scope["category"] else t("suppressions.category_any")
        if scope["sender"] is None:
            return kind
        return f"{line(scope['sender'], 40) or t('suppressions.sender_default')} · {kind}"

    def _since(self, row: Row) -> Cell:
        t, times = self._t, self._view.times
        pieces = [cells.text(times.short(row["created_at"]))]
        if row["added_by"]:
            pieces.append(cells.muted(t("suppressions.added_by", name=line(row["added_by"], 40))))
        if row["until"]:
            pieces.append(cells.muted(t("suppressions.until", at=times.short(row["until"]))))
        return pieces

    def _actions(self, row: Row) -> Cell:
        t, name = self._t, self._t("suppressions.remove_of", to=self._name(row))
        if not self._view.may("DELETE /suppressions/{id}"):
            return None
        return cells.button("remove", t("suppressions.remove"), name, icon="delete", kind="quiet")

    async def _remove(self, row: Row) -> None:
        if await ask_to_delete(self._view, path(form.PATH, row["id"]), "suppressions.remove", to=self._name(row)):
            await self.table.reload()


PAGE = Page("/suppressions", "suppressions", Group.ADMIN, show, icon="person_add_disabled")
