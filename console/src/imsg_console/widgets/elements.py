"""HTML as it is: an element with classes and text, attributes that may hold anything, headings, icons, links."""

from collections.abc import Callable
from typing import TypeVar

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from imsg_console.paths import STATIC

E = TypeVar("E", bound=Element)


class Tag(TextElement):
    """An HTML element. Its `text` is text: whatever it holds, nothing of it is read as HTML; it may be set anew."""

    def __init__(self, tag: str, text: str = "") -> None:
        super().__init__(tag=tag, text=text)


def classed(tag: str, classes: str = "", text: str = "") -> Tag:
    """Draw an element with classes (constants) and a text (anything)."""
    element = Tag(tag, text)
    if classes:
        element.classes(classes)
    return element


def attrs(element: E, **attributes: str | bool | int) -> E:
    """Set attributes, `aria_label` as `aria-label`. Values are set, not parsed: hostile ones stay values."""
    for name, value in attributes.items():
        element.props[name.rstrip("_").replace("_", "-")] = value
    return element


def heading(level: int, text: str, classes: str = "") -> Tag:
    """Draw a heading; every page has one of level 1."""
    return classed(f"h{level}", classes, text)


def icon(name: str, classes: str = "") -> Element:
    """Draw a symbol that says nothing by itself: readers of screens pass it over."""
    return attrs(ui.icon(name).classes(classes), aria_hidden="true")


def link_to(text: str, target: str, symbol: str = "") -> Tag:
    """Draw a link to a page of ours; `target` is made by `client.path` where it holds a name."""
    link = attrs(Tag("a", "" if symbol else text), href=target)
    if symbol:
        with link:
            icon(symbol)
            Tag("span", text)
    return link


def counted(link: Tag, count: int | str) -> Tag:
    """Mark a link with the number that stands beside it: so many rows it opens, or with a `+` so many at least."""
    return attrs(link, data_rows=str(count))


def button(text: str, on_click: Callable[..., object], *, kind: str = "", symbol: str = "") -> ui.button:
    """Draw a button: kind `main` for the one thing to do here, `danger`, `quiet`, or empty."""
    made = ui.button(text, icon=symbol or None, on_click=on_click, color=None)
    return made.props("no-caps unelevated").classes(f"button button-{kind}" if kind else "button")


def style_sheet(name: str) -> None:
    """Link a style sheet of a page's own, `static/NAME.css`; the name is a constant."""
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC}{name}.css">')
