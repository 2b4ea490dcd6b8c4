"""A list beside the chosen item; in a narrow window, one at a time."""

from collections.abc import Callable
from dataclasses import dataclass

from nicegui import ui
from nicegui.element import Element

from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, heading, icon, redraw
from imsg_console.widgets.notices import empty


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the list."""

    key: str
    title: str
    line: str
    aside: str = ""
    symbol: str = ""


class Split:
    """Draws both; `on_choose` draws the item of a key into the pane. NiceGUI awaits its coroutine."""

    def __init__(self, view: View, name: str, choose: str, on_choose: Callable[[str], object]) -> None:
        self._on_choose = on_choose
        self._choose_text = choose
        self._drawn: dict[str, Element] = {}
        self._items: list[Item] = []
        self.chosen = ""
        self._root = element("div", "split")
        with self._root:
            with attrs(element("section", "split-list"), aria_label=name):
                self._list = element("ul")
            with attrs(element("section", "stack split-pane"), aria_live="polite", aria_label=choose, tabindex="0"):
                self._back = button(view.t("sandbox.back"), self.close, kind="quiet", symbol="arrow_back")
                self._back.classes("split-back")
                self.pane = ui.column().classes("split-inside")
        self.close()

    def show(self, items: list[Item]) -> None:
        """Show these items; those that are drawn stay, so that nothing moves under a finger."""
        if items == self._items:
            return
        before, self._items = {item.key: item for item in self._items}, items
        wanted = {item.key: item for item in items}
        for key in [key for key in self._drawn if key not in wanted]:
            self._drawn.pop(key).delete()
        for place, item in enumerate(items):
            if item.key not in self._drawn:
                with self._list:
                    self._drawn[item.key] = element("li")
            drawn = self._drawn[item.key]
            if item != before.get(item.key):
                with redraw(drawn):
                    self._draw(item)
            drawn.move(target_index=place)
        if self.chosen and self.chosen not in wanted:
            self.close()

    def choose(self, key: str) -> object:
        """Open an item. Return the coroutine to await, if there is one."""
        self._mark(key)
        self._root.classes("is-reading")
        with redraw(self.pane):
            return self._on_choose(key)

    def close(self) -> None:
        """Close the item."""
        self._mark("")
        self._root.classes(remove="is-reading")
        with redraw(self.pane):
            empty(self._choose_text, "", "touch_app").classes("split-nothing")

    def _mark(self, key: str) -> None:
        before, self.chosen = self.chosen, key
        for item in self._items:
            if item.key in (before, key):
                drawn = self._drawn[item.key]
                with redraw(drawn):
                    self._draw(item)

    def _draw(self, item: Item) -> None:
        drawn = attrs(element("button", "side-by-side split-item"), type="button")
        if item.key == self.chosen:
            attrs(drawn, aria_current="true")
        with drawn:
            if item.symbol:
                icon(item.symbol)
            with element("span", "stack split-words"):
                element("bdi", "split-title", item.title)
                element("bdi", "split-line", item.line)
            if item.aside:
                element("span", "split-aside", item.aside)
        drawn.on("click", lambda: self.choose(item.key))


def pane_head(title: str) -> Element:
    """Draw the heading of a pane; its buttons are drawn inside."""
    with element("header", "line justify-between") as head:
        heading(2, title)
    return head
