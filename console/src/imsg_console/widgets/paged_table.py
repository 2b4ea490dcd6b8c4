"""A list of the API as a table: filters above it, pages below, and in its place an error, or that it is empty."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import element, redraw
from imsg_console.widgets.filters import Filter, Filters
from imsg_console.widgets.notices import empty, error_notice
from imsg_console.widgets.paging import Listing, ListPage, Load, Loaded, Pager, Position, Row
from imsg_console.widgets.tables import Actions, Column, Table

PAGE_ROWS = 25


class PagedTable:
    """Draws a list of the API, and loads its pages."""

    def __init__(
        self,
        view: View,
        caption: str,
        columns: Sequence[Column],
        source: str | Load,
        *,
        key: str,
        texts: str,
        symbol: str = "inbox",
        filters: Sequence[Filter] = (),
        has_refresh: bool = False,
        size: int = PAGE_ROWS,
        counts: bool = False,
        actions: Actions | None = None,
        on_choose: Callable[[], None] | None = None,
        name: Callable[[Row], str] | None = None,
    ) -> None:
        """`source` is the URL of the list, or loads it; it gets the filters beside the position.

        An empty list says `TEXTS.empty_title` and `TEXTS.empty_text` beside the symbol; where a filter is set,
        `TEXTS.none_title` and `TEXTS.none_text`. `size` is the rows of a page.
        """
        self._view, self._source, self._size, self._counts = view, source, size, counts
        self._texts, self._symbol = texts, symbol
        self._listing = self._make_listing()
        self._page = ListPage(1, None, (), None)
        self._asked = 0
        with ui.column() as self._place:
            self.filters = Filters(view, filters, self.load, self.reload if has_refresh else None)
            self.table = Table(view, caption, columns, key=key, actions=actions, on_choose=on_choose, name=name)
            self._instead = element("div")
            self._pager = Pager(view.t, self._open_page)

    async def load(self) -> None:
        """Show the first page, for instance after the filters have changed."""
        self._listing = self._make_listing()
        await self._open_page(1)

    async def reload(self) -> None:
        """Reload the current page."""
        await self._show(lambda: self._listing.reload(self._page))

    async def _open_page(self, number: int) -> None:
        await self._show(lambda: self._listing.load(number, lambda at: self._pager.show_progress(at, number)))

    async def _show(self, load: Callable[[], Any]) -> None:
        """Show what loads; the answer to what was asked last counts."""
        if self._is_gone():
            return  # the page was left before its work ended
        number = self._asked = self._asked + 1
        try:
            page = await load()
        except ApiError as error:
            if number == self._asked and not self._is_gone():
                self._show_instead(partial(self._draw_error, error))
            return
        if number != self._asked or self._is_gone():
            return
        self._page = page
        if not self._page.rows and self._page.number > 1:
            await self._open_page(self._page.number - 1)  # the last row of this page was removed
        elif self._page.rows:
            self._instead.clear()
            self.table.show(self._page.rows)
            self.table.element.set_visibility(True)
            self._pager.show(self._page)
        else:
            self._show_instead(self._draw_empty)

    def _make_listing(self) -> Listing:
        return Listing(self._load, size=self._size, stride=1, counts=self._counts)

    async def _load(self, position: Position) -> Loaded:
        query = {**self.filters.values, **position}
        if not isinstance(self._source, str):
            return await self._source(query)
        return Loaded.read(await self._view.api.get(self._source, **query), self._source.rpartition("/")[2])

    def _draw_empty(self) -> None:
        t, texts = self._view.t, self._texts
        if not (wanted := " ".join(filter(None, self.filters.values.values()))):
            empty(t(f"{texts}.empty_title"), t(f"{texts}.empty_text"), self._symbol)
            return
        title = t(f"{texts}.none_title", wanted=line(wanted, 40))
        show_all = {"action": t("layout.show_all"), "target": self._view.path}
        empty(title, t(f"{texts}.none_text"), "search_off", **show_all)

    def _is_gone(self) -> bool:
        return bool(self._place.is_deleted)

    def _show_instead(self, draw: Callable[[], object]) -> None:
        self.table.element.set_visibility(False)
        self._pager.show(ListPage(1, None, (), None))
        with redraw(self._instead):
            draw()

    def _draw_error(self, error: ApiError) -> None:
        t = self._view.t
        error_notice(t("layout.failed_title"), error.detail or t("layout.unreachable"), t("layout.retry"), self.reload)
