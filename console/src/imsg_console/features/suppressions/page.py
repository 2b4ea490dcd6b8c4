"""The suppression list: to whom nothing may be sent any more, why, and since when."""

from datetime import UTC, datetime

from nicegui.element import Element

from imsg_console.client import path
from imsg_console.features.suppressions import form
from imsg_console.sanitize import line
from imsg_console.time_format import TimeFormat
from imsg_console.view import Group, Page, View
from imsg_console.widgets import chips
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import attrs, button, element, heading, link_to
from imsg_console.widgets.fields import choice_field, text_field
from imsg_console.widgets.formats import download_button
from imsg_console.widgets.notices import empty, toast
from imsg_console.widgets.tables import Column, PagedTable, Row

PAGE_ROWS = 25
MOST_SHOWN = 80


async def show(view: View) -> None:
    """Draw the page."""
    board = Board(view)
    board.draw()
    await board.table.load()


class Board:
    """The page: filters and the list."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._moments = TimeFormat(view.timezone, english=view.t.language == "en")
        self._filters: dict[str, str] = {}
        if to := view.query.get("to", "").replace("\0", "").strip():
            self._filters["to"] = to

    def draw(self) -> None:
        """Draw everything but the rows."""
        view, t = self._view, self._view.t
        with element("div", "spread page-head"):
            with element("div"):
                heading(1, t("layout.suppressions"))
                element("p", "page-lead", t("suppressions.lead"))
            with element("div", "actions"):
                button(t("suppressions.import"), lambda: form.ask_file(view, self.reload), symbol="upload")
                download_button(t, t("suppressions.export"), lambda kind: form.export(view, self._filters, kind))
                button(
                    t("suppressions.add"),
                    lambda: form.add(view, self.reload),
                    kind="main",
                    symbol="person_add_disabled",
                )
        any_of = {"": t("suppressions.any")}
        with element("search", "side-by-side"):
            self._to = text_field(t("suppressions.search"), self._filters.get("to", ""), kind="search", most=254)
            self._to.props('clearable debounce="300"')
            self._method = choice_field(t("suppressions.column_method"), any_of | form.methods(view), "")
            self._reason = choice_field(t("suppressions.column_reason"), any_of | form.reasons(view), "")
            for field in (self._to, self._method, self._reason):
                field.on_value_change(self._filter)
        self.table = PagedTable(
            view,
            t("layout.suppressions"),
            [
                Column(t("suppressions.column_to"), self._address, "main", lambda row: row["to"]),
                Column(t("suppressions.column_reason"), self._why, "", lambda row: row["reason"]),
                Column(t("suppressions.column_scope"), self._scope),
                Column(t("suppressions.column_created_at"), self._since, "", lambda row: row["created_at"]),
                Column(t("suppressions.actions"), self._actions),
            ],
            self._load,
            key=lambda row: str(row["id"]),
            when_empty=self._empty,
        )

    async def reload(self) -> None:
        """Show the page of the list anew."""
        await self.table.reload()

    async def _load(self, cursor: str) -> tuple[list[Row], str | None]:
        answer = await self._view.api.get(form.PATH, **self._filters, limit=PAGE_ROWS, cursor=cursor)
        return answer["suppressions"], answer["next"]

    async def _filter(self) -> None:
        given = {"to": self._to.value, "method": self._method.value, "reason": self._reason.value}
        texts = {name: str(value or "").replace("\0", "").strip() for name, value in given.items()}
        self._filters = {name: text for name, text in texts.items() if text}
        await self.table.load()

    def _empty(self) -> None:
        t = self._view.t
        if self._filters:
            empty(t("suppressions.none_title"), t("suppressions.none_text"), "search_off")
        else:
            empty(t("suppressions.empty_title"), t("suppressions.empty_text"), "task_alt")

    def _name(self, row: Row) -> str:
        """Name whom it is about; who was erased is known by a digest, whose first digits tell them apart."""
        if row["to"].startswith("#"):
            return self._view.t("suppressions.erased", mark=line(row["to"][1:9]))
        return line(row["to"], MOST_SHOWN)

    def _address(self, row: Row) -> Element:
        with element("div", "stack tight") as drawn:
            element("span", "wrap-anywhere", self._name(row))
            chips.method(self._view, row["method"])
        return drawn

    def _why(self, row: Row) -> Element:
        t = self._view.t
        with element("div", "stack tight") as drawn:
            element("span", "", t.get(f"suppressions.reason_{row['reason']}", line(row["reason"])))
            for text in (row["evidence"], row["note"]):
                if text:
                    element("span", "muted small wrap-anywhere", line(text, 200))
            if row["message"]:
                link_to(t("suppressions.message"), f"/message/{row['message']}")
        return drawn

    def _scope(self, row: Row) -> str:
        t, scope = self._view.t, row["scope"]
        if scope is None:
            return t("suppressions.scope_all")
        kind = t(f"suppressions.category_{scope['category']}") if scope["category"] else t("suppressions.category_any")
        if scope["sender"] is None:
            return kind
        return f"{line(scope['sender'], 40) or t('suppressions.sender_default')} · {kind}"

    def _since(self, row: Row) -> Element:
        t, now = self._view.t, datetime.now(UTC)
        with element("div", "stack tight") as drawn:
            element("span", "", self._moments.short(row["created_at"], now))
            if row["added_by"]:
                element("span", "muted small", t("suppressions.added_by", name=line(row["added_by"], 40)))
            if row["until"]:
                element("span", "muted small", t("suppressions.until", at=self._moments.short(row["until"], now)))
        return drawn

    def _actions(self, row: Row) -> Element:
        t = self._view.t
        with element("div", "row-actions") as drawn:
            made = button(t("suppressions.remove"), lambda: self._remove(row), kind="quiet", symbol="delete")
            attrs(made, aria_label=t("suppressions.remove_of", to=self._name(row)))
        return drawn

    async def _remove(self, row: Row) -> None:
        t, view, to = self._view.t, self._view, self._name(row)
        title, text = t("suppressions.remove_title", to=to), t("suppressions.remove_text")
        if await confirm(view, title, text, t("suppressions.remove_action")):
            await view.api.delete(path(form.PATH, row["id"]))
            toast(t("suppressions.removed", to=to))
            await self.reload()


PAGE = Page("/suppressions", "suppressions", Group.ADMIN, show, icon="person_add_disabled")
