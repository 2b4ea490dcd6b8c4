"""Facts, each with its name; code to read; the head of a page; sizes of files."""

from collections.abc import Iterable

from nicegui import ui
from nicegui.element import Element

from imsg_console.sanitize import block
from imsg_console.widgets.elements import address_text, attrs, element, heading


def page_head(title: str, lead: str = "") -> Element:
    """Draw a page's title and what the page is for; the buttons beside them are drawn inside the result."""
    with ui.row().classes("justify-between"):
        with element("div"):
            heading(1, title)
            if lead:
                element("p", "page-lead", lead)
        return ui.row()


def card(title: str, classes: str = "", *, is_landmark: bool = False) -> Element:
    """Draw a card with a heading; its content is drawn inside. A landmark has a name of its own in the page."""
    with element("section", f"card stack {classes}") as drawn:
        name = heading(2, title)
    return attrs(drawn, aria_labelledby=name.html_id) if is_landmark else drawn


def draw_facts(facts: Iterable[tuple[str, str]]) -> Element:
    """Draw names and values as a list; the list takes more facts."""
    with element("dl", "facts") as drawn:
        for name, value in facts:
            with fact(name):
                address_text(value)
    return drawn


def fact(name: str) -> Element:
    """Draw a fact's name; its value is drawn inside."""
    with element("div", "fact"):
        element("dt", "", name)
        return element("dd", "line")


def code_block(text: str, label: str) -> Element:
    """Draw a text that programs read, which scrolls where it is long."""
    return attrs(element("pre", "code-block", block(text, 50_000)), tabindex="0", role="region", aria_label=label)


def write_size(count: int) -> str:
    """Write a number of bytes: `700 B`, `12 KiB`, `3.4 MiB`."""
    if count < 1024:  # noqa: PLR2004
        return f"{count} B"
    return f"{count / 1024:.0f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MiB"
