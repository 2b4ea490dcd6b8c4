"""The way through the pages of a listing: the newest, the one before, the next, and any other by its number."""

from collections.abc import Callable

from nicegui import ui

from imsg_console.features.messages.listing import MAX_PAGE, Part, read_page
from imsg_console.texts import Texts
from imsg_console.widgets.elements import attrs, button, element


class Pager:
    """Draws the buttons; `on_go` is told the number of the page that is wanted."""

    def __init__(self, texts: Texts, on_go: Callable[[int], object]) -> None:
        self._t = texts
        self._on_go = on_go
        self._number = 1
        with attrs(element("nav", "pager"), aria_label=texts("messages.pages")) as self._bar:
            self._first = button(texts("messages.first"), lambda: on_go(1), symbol="first_page")
            self._previous = button(texts("messages.previous"), lambda: on_go(self._number - 1), symbol="chevron_left")
            self._where = attrs(element("span", "pager-where"), aria_live="polite")
            with self._where:
                self._label = ui.label()
            self._next = button(texts("messages.next"), lambda: on_go(self._number + 1), symbol="chevron_right")
            self._to = ui.input(texts("messages.page_go"))
            self._to.props(f"outlined dense inputmode=numeric maxlength={len(str(MAX_PAGE))}").classes("pager-to")
            self._to.on("keydown.enter", self._jump)

    def show(self, part: Part) -> None:
        """Say where this is."""
        self._number = part.number
        self._label.set_text(self._t("messages.page", n=part.number))
        for one, can in (
            (self._first, part.number > 1),
            (self._previous, part.number > 1),
            (self._next, part.next is not None),
        ):
            one.set_enabled(can)
        self._bar.set_visibility(part.number > 1 or part.next is not None)

    def show_walk(self, at: int, to: int) -> None:
        """Say how far the way to a page far off has been gone."""
        self._label.set_text(self._t("messages.page_walking", at=at, to=to))

    def _jump(self) -> object:
        text = str(self._to.value or "").strip()
        self._to.set_value("")
        return self._on_go(read_page(text)) if text else None
