"""A table of rows that becomes cards on a phone; pages by the API's cursors; rows may be chosen."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.events import ValueChangeEventArguments

from imsg_console.client import ApiError
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, classed
from imsg_console.widgets.notices import error_notice

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and what draws a row's cell. Returning a string is enough where text is all there is."""

    title: str
    cell: Callable[[Row], str | Element | None]
    classes: str = ""
    """`number` to the right; `main` the row's name, the heading of its card on a phone."""


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
        self.rows: list[Row] = []
        """Of the page that is shown."""
        self._place = classed("div", "table-place")
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
        self._place.clear()
        with self._place:
            if not self.rows and len(self._cursors) == 1:
                self._when_empty()
                return
            self._table()
            if following or len(self._cursors) > 1:
                self._pager(following)

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
        with classed("div", "table-scroll"), classed("table", "table"):
            classed("caption", "unseen", self._caption)
            with classed("thead"), classed("tr"):
                if self._chosen is not None:
                    with attrs(classed("th", "table-choose"), scope="col"):
                        self._choose_all(self._chosen)
                for column in self._columns:
                    attrs(classed("th", column.classes, column.title), scope="col")
            with classed("tbody"):
                for row in self.rows:
                    self._row(row)

    def _row(self, row: Row) -> None:
        with classed("tr"):
            if self._chosen is not None:
                with classed("td", "table-choose"):
                    self._choose(self._chosen, row)
            for column in self._columns:
                is_name = "main" in column.classes
                cell = classed("th" if is_name else "td", column.classes)
                attrs(cell, data_label=column.title)
                if is_name:
                    attrs(cell, scope="row")
                with cell:
                    drawn = column.cell(row)
                    if isinstance(drawn, str):
                        classed("span", "", drawn)

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

        with attrs(classed("nav", "pager"), aria_label=self._caption):
            button(t("layout.previous"), backward, kind="quiet").set_enabled(len(self._cursors) > 1)
            classed("span", "muted", t("layout.page_of", n=len(self._cursors)))
            button(t("layout.next"), forward, kind="quiet").set_enabled(bool(following))
