"""HTML elements that NiceGUI has no widget for, attributes with any value, headings, icons, links, buttons."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from nicegui import html, ui
from nicegui.client import Client
from nicegui.element import Element

from imsg_console.paths import STATIC
from imsg_console.sanitize import split_address

E = TypeVar("E", bound=Element)

MISSING = object()


def element(tag: str, classes: str = "", text: str = "") -> Element:
    """Draw an element with classes (constants) and a text (anything: nothing of it is read as HTML)."""
    make = getattr(html, tag, None) or getattr(html, f"{tag}_")  # as `input_`, which Python has a function of
    made: Element = make(text)
    return made.classes(classes)


def address_text(text: str) -> Element:
    """Draw a text of people; an address goes on in the next line before its `@` alone."""
    parts = split_address(text)
    with element("bdi", "", "" if parts else text) as drawn:
        for part in parts:
            element("span", "address-part", part)
    return drawn


@contextmanager
def redraw(place: Element) -> Iterator[None]:
    """Replace the content of a place by what is drawn in the context."""
    place.clear()
    with place:
        yield


def live_text(classes: str = "", text: str = "") -> ui.label:
    """Draw a text that changes."""
    return ui.label(text).classes(classes)


def attrs(element: E, **attributes: str | bool | int) -> E:
    """Set attributes, `aria_label` as `aria-label`. Values are set, not parsed: hostile ones stay values."""
    for name, value in attributes.items():
        attribute = name.rstrip("_").replace("_", "-")
        if element.props.get(attribute, MISSING) != value:  # setting one draws the page anew, also where it is the same
            element.props[attribute] = value
    return element


def heading(level: int, text: str, classes: str = "") -> Element:
    """Draw a heading; every page has one of level 1."""
    return element(f"h{level}", classes, text)


def icon(name: str, classes: str = "") -> Element:
    """Draw a symbol, which screen readers skip."""
    return attrs(ui.icon(name).classes(f"icon {classes}"), aria_hidden="true")


def link_to(text: str, target: str, symbol: str = "") -> ui.link:
    """Draw a link to a page; make a `target` with names by `client.path`."""
    link = ui.link("" if symbol else text, target)
    if symbol:
        with link:
            icon(symbol)
            element("span", text=text)
    return link


def mark_count(link: E, count: int | str) -> E:
    """Mark a link with its count: the rows that it opens, with a `+` at least so many. Tests compare them."""
    return attrs(link, data_rows=str(count))


def act_in_page(act: Callable[[], object]) -> Callable[[], object]:
    """Return a handler that runs in the page itself: the clicked element may be removed while the handler runs.

    NiceGUI would refuse whatever the handler does after that: toasts, dialogs, scripts, the next page.
    """
    client = ui.context.client

    def start() -> object:
        with client:
            result = act()
        return _run_in_page(client, result) if asyncio.iscoroutine(result) else None

    return start


async def _run_in_page(client: Client, result: Coroutine[Any, Any, object]) -> None:
    with client:
        await result


def button(text: str, on_click: Callable[[], object], *, kind: str = "", symbol: str = "") -> ui.button:
    """Draw a button: kind `main` for the one thing to do here, `danger`, `quiet`, or empty."""
    made = ui.button(text, icon=symbol or None, on_click=act_in_page(on_click), color=None)
    return made.props("no-caps unelevated").classes(f"button button-{kind}" if kind else "button")


def style_sheet(name: str) -> None:
    """Link a style sheet of a page's own, `static/NAME.css`; the name is a constant."""
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC}{name}.css">')
