"""A table of rows that becomes cards on a phone; pages by the API's cursors; rows may be chosen."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.events import ValueChangeEventArguments

from imsg_console.client import ApiError
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, icon
from imsg_console.widgets.notices import error_notice

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and what draws a row's cell. Returning a string is enough where text is all there is."""

    title: str
    cell: Callable[[Row], str | Element | None]
    classes: str = ""
    """`number` to the right; `main` the row's name, the heading of its card on a phone."""
    sort: Callable[[Row], Any] | None = None
    """By what the rows of the page are sorted; None: they are not."""


Load = Callable[[str], Awaitable[tuple[list[Row], str | None]]]
"""Cursor (empty: the first page) → rows and the next page's cursor."""


@dataclass(slots=True)
class Chosen:
    """Which rows are chosen, over all pages, by their key."""

    rows: dict[str, Row] = field(default_factory=dict)
    on_change: Callable[[], None] = lambda: None

    def clear(self) -> None:
        """Choose none."""
        self.rows.clear()
        self.on_change()


class PagedTable:
    """Draws itself where it is made; `await load()` fills it, again after each change of the filters."""

    def __init__(
        self,
        view: View,
        caption: str,
        columns: Sequence[Column],
        load: Load,
        *,
        key: Callable[[Row], str],
        when_empty: Callable[[], object],
        chosen: Chosen | None = None,
        name: Callable[[Row], str] | None = None,
    ) -> None:
        self._view, self._caption, self._columns, self._load = view, caption, columns, load
        self._key, self._when_empty, self._chosen = key, when_empty, chosen
        self._name = name or key
        self._cursors = [""]
        self._sorted: tuple[Column, bool] | None = None
        """By which column, and whether downwards; None: as the API lists them."""
        self._following: str | None = None
        self.rows: list[Row] = []
        """Of the page that is shown."""
        self._place = element("div", "stack table-place")
        attrs(self._place, aria_live="polite")

    async def load(self) -> None:
        """Show the first page anew."""
        self._cursors = [""]
        await self._show()

    async def reload(self) -> None:
        """Show the same page anew."""
        await self._show()

    async def _show(self) -> None:
        if self._is_gone():
            return  # the page was left, and work that it began is done only now
        try:
            self.rows, following = await self._load(self._cursors[-1])
        except ApiError as error:
            self._fail(error)
            return
        if self._is_gone():
            return
        self._following = following
        self._draw()

    def _draw(self) -> None:
        self._place.clear()
        with self._place:
            if not self.rows and len(self._cursors) == 1:
                self._when_empty()
                return
            self._table()
            if self._following or len(self._cursors) > 1:
                self._pager(self._following)

    def _is_gone(self) -> bool:
        return bool(self._place.is_deleted)

    def _fail(self, error: ApiError) -> None:
        t = self._view.t
        self._place.clear()
        with self._place:
            error_notice(
                t("layout.failed_title"), error.detail or t("layout.unreachable"), t("layout.retry"), self._show
            )

    def _table(self) -> None:
        columns = [{"name": str(n), "label": one.title, "field": str(n)} for n, one in enumerate(self._columns)]
        table = ui.table(rows=[], columns=columns, pagination={"rowsPerPage": 0})
        table.props("flat hide-pagination hide-bottom hide-no-data separator=none wrap-cells").classes("data-table")
        attrs(table, role="region", aria_label=self._caption)
        with table.add_slot("header"), attrs(table.row(), role="row"):
            if self._chosen is not None:
                with attrs(table.header().classes("table-tick"), role="columnheader"):
                    self._choose_all(self._chosen)
            for column in self._columns:
                self._head(table, column)
        with table.add_slot("top-row"):
            for row in self._in_order():
                self._row(table, row)

    def _head(self, table: ui.table, column: Column) -> None:
        head = attrs(table.header().classes(column.classes), role="columnheader", scope="col")
        with head:
            if column.sort is None:
                element("span", "", column.title)
                return
            by, downwards = self._sorted or (None, False)
            attrs(head, aria_sort="none" if by is not column else "descending" if downwards else "ascending")
            with attrs(element("button", "table-sort"), type="button") as sort:
                element("span", "", column.title)
                if by is column:
                    icon("arrow_downward" if downwards else "arrow_upward")
            sort.on("click", lambda: self._sort(column))

    def _sort(self, column: Column) -> None:
        """Sort by a column: upwards, then downwards, then as the API lists them."""
        by, downwards = self._sorted or (None, False)
        self._sorted = (column, True) if by is column and not downwards else None if by is column else (column, False)
        self._draw()

    def _in_order(self) -> list[Row]:
        if self._sorted is None or self._sorted[0].sort is None:
            return self.rows
        return sorted(self.rows, key=self._sorted[0].sort, reverse=self._sorted[1])

    def _row(self, table: ui.table, row: Row) -> None:
        with attrs(table.row(), role="row"):
            if self._chosen is not None:
                with attrs(table.cell().classes("table-tick"), role="cell"):
                    self._choose(self._chosen, row)
            for column in self._columns:
                cell = attrs(table.cell().classes(column.classes), data_label=column.title)
                attrs(cell, role="rowheader" if "main" in column.classes else "cell")
                with cell:
                    drawn = column.cell(row)
                    if isinstance(drawn, str):
                        element("span", "", drawn)

    def _choose(self, chosen: Chosen, row: Row) -> None:
        key = self._key(row)

        def change(event: ValueChangeEventArguments[bool | None]) -> None:
            if event.value:
                chosen.rows[key] = row
            else:
                chosen.rows.pop(key, None)
            chosen.on_change()

        box = ui.checkbox(value=key in chosen.rows, on_change=change).props("dense")
        attrs(box, aria_label=self._view.t("layout.select_row", name=self._name(row)))

    def _choose_all(self, chosen: Chosen) -> None:
        async def change(event: ValueChangeEventArguments[bool | None]) -> None:
            for row in self.rows:
                if event.value:
                    chosen.rows[self._key(row)] = row
                else:
                    chosen.rows.pop(self._key(row), None)
            chosen.on_change()
            await self.reload()

        everything = bool(self.rows) and all(self._key(row) in chosen.rows for row in self.rows)
        box = ui.checkbox(value=everything, on_change=change).props("dense")
        attrs(box, aria_label=self._view.t("layout.select_all"))

    def _pager(self, following: str | None) -> None:
        t = self._view.t

        async def forward() -> None:
            self._cursors.append(following or "")
            await self._show()

        async def backward() -> None:
            self._cursors.pop()
            await self._show()

        with attrs(element("nav", "pager"), aria_label=self._caption):
            button(t("layout.previous"), backward, kind="quiet").set_enabled(len(self._cursors) > 1)
            element("span", "muted", t("layout.page_of", n=len(self._cursors)))
            button(t("layout.next"), forward, kind="quiet").set_enabled(bool(following))
