"""Pages of a list whose API knows only what comes next, and the buttons that lead through them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nicegui import ui

from imsg_console.texts import Texts
from imsg_console.widgets.elements import attrs, button, element, live_text
from imsg_web.schemas import MAX_TOTAL

MAX_PAGE = 100_000

Row = Mapping[str, Any]
"""One thing of a list, as the API gives it."""

Position = Mapping[str, object]
"""Which rows the API is asked for, as its parameters `cursor` and `limit`, and `total` where it is to count them."""


class Loaded(NamedTuple):
    """What the API answered."""

    rows: Sequence[Row]
    next: str | None
    """The next cursor."""
    total: int | None = None
    """The rows of all pages, `MAX_TOTAL` + 1 at most; None where they were not counted."""

    @classmethod
    def read(cls, answer: Mapping[str, Any], name: str) -> "Loaded":
        """Read an answer; `name` is that of the list."""
        return cls(answer[name], answer["next"], answer.get("total"))


Load = Callable[[Position], Awaitable[Loaded]]
"""Loads the rows at a position. Raises ApiError, SessionOver."""


def read_page(text: str) -> int:
    """Read the number of a page; 1 where the text is no number."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PAGE))
    return max(1, min(int(text), MAX_PAGE)) if is_number else 1


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list."""

    number: int
    """From 1."""
    cursor: str | None
    rows: Sequence[Row]
    next: str | None
    count: int = 0
    """The rows of this page and of those before it: all rows of the list where there is no next page."""
    total: int | None = None
    """As `Loaded.total`."""


class Listing:
    """The pages of a list. It remembers the cursor of each page that it has seen."""

    def __init__(self, load: Load, *, size: int, stride: int, counts: bool = False) -> None:
        """`size` is the rows of a page; `stride` the most pages that one call skips on the way to a page far away.

        With `counts` the API is asked for the total of all pages.
        """
        self._load = load
        self._size, self._stride, self._counts = size, stride, counts
        self._cursors: dict[int, str | None] = {1: None}

    def remember(self, number: int, cursor: str) -> None:
        """Remember the cursor of a page, as a shared link names it."""
        if 1 < number <= MAX_PAGE:
            self._cursors[number] = cursor

    async def load(self, number: int, progress: Callable[[int], None] = lambda _: None) -> ListPage:
        """Load a page, or the last page where there are fewer. Raises ApiError, SessionOver.

        `progress` gets the number of each page that is reached on the way.
        """
        number = max(1, min(number, MAX_PAGE))
        at = max(known for known in self._cursors if known <= number)
        while at < number:
            stride = min(number - at, self._stride)
            loaded = await self._load({"cursor": self._cursors[at], "limit": stride * self._size})
            if not loaded.next:
                number = at + max(0, len(loaded.rows) - 1) // self._size
                if number == at:
                    return self._page(at, loaded)
                stride = number - at
                loaded = await self._load({"cursor": self._cursors[at], "limit": stride * self._size})
            at += stride
            self._cursors[at] = loaded.next
            progress(at)
        return await self._load_page(number, self._cursors[number], counts=self._counts)

    async def reload(self, page: ListPage, *, counts: bool = True) -> ListPage:
        """Load a page again from its cursor; without `counts` no total. Raises ApiError, SessionOver."""
        return await self._load_page(page.number, page.cursor, counts=counts and self._counts)

    async def _load_page(self, number: int, cursor: str | None, *, counts: bool) -> ListPage:
        position = {"cursor": cursor, "limit": self._size}
        return self._page(number, await self._load({**position, "total": 1} if counts else position))

    def _page(self, number: int, loaded: Loaded) -> ListPage:
        rows, following, total = loaded
        if following:
            self._cursors[number + 1] = following
        else:
            self._cursors.pop(number + 1, None)
        count = (number - 1) * self._size + len(rows)
        return ListPage(number, self._cursors.get(number), rows, following, count, total)


def describe_total(t: Texts, page: ListPage) -> str:
    """Return the number of rows of a list in words, or how many are known."""
    if page.next is None:
        return t("layout.rows", n=f"{page.count:,}")
    if page.total is None:
        return t("layout.rows_more", n=f"{page.count:,}")
    if page.total > MAX_TOTAL:
        return t("layout.rows_over", n=f"{MAX_TOTAL:,}")
    return t("layout.rows", n=f"{page.total:,}")


class Pager:
    """How many rows a list has, and the buttons below it: first, previous, next, and a field for a page's number."""

    def __init__(self, t: Texts, on_go: Callable[[int], object]) -> None:
        """`on_go` gets the number of the wanted page."""
        self._t, self._on_go = t, on_go
        self._number = 1
        self._total = live_text("muted small")
        with attrs(element("nav", "pager"), aria_label=t("layout.pages")) as self._bar:
            self._first = button(t("layout.first"), lambda: on_go(1), symbol="first_page")
            self._previous = button(t("layout.previous"), lambda: on_go(self._number - 1), symbol="chevron_left")
            self._label = attrs(live_text(), role="status")
            self._next = button(t("layout.next"), lambda: on_go(self._number + 1), symbol="chevron_right")
            self._wanted = ui.input(t("layout.page_go")).classes("pager-to")
            self._wanted.props(f"outlined dense inputmode=numeric maxlength={len(str(MAX_PAGE))}")
            self._wanted.on("keydown.enter", self._open_page)

    def show(self, page: ListPage) -> None:
        """Show the page's number and how many rows there are; hide the buttons where there is one page only."""
        self._number = page.number
        self._label.set_text(self._t("layout.page", n=page.number))
        self._total.set_text(describe_total(self._t, page))
        self._total.set_visibility(page.count > 0)
        for made, is_possible in (
            (self._first, page.number > 1),
            (self._previous, page.number > 1),
            (self._next, page.next is not None),
        ):
            made.set_enabled(is_possible)
        self._bar.set_visibility(page.number > 1 or page.next is not None)

    def show_progress(self, at: int, to: int) -> None:
        """Show which page has been reached on the way to another."""
        self._label.set_text(self._t("layout.page_walking", at=at, to=to))

    def _open_page(self) -> object:
        number = str(self._wanted.value or "").strip()
        self._wanted.set_value("")
        return self._on_go(read_page(number)) if number else None
