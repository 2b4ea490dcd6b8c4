"""Toasts, notices in the page, and empty states that lead to the next step."""

from collections.abc import Callable

from nicegui import ui
from nicegui.element import Element

from imsg_console.widgets.elements import attrs, button, element, heading, icon, link_to

TOAST_MS = 6_000


def toast(text: str, *, good: bool = True) -> None:
    """Show a text for some seconds; screen readers read it."""
    ui.notify(
        text,
        position="bottom",
        timeout=TOAST_MS,
        close_button=True,
        multi_line=True,
        classes="toast toast-good" if good else "toast toast-bad",
        icon="check_circle" if good else "error",
        attrs={"role": "status" if good else "alert"},
    )


def notice(text: str, kind: str = "info") -> Element:
    """Draw a notice in the page: kind `info`, `good`, `warn` or `bad`."""
    symbol = {"info": "info", "good": "check_circle", "warn": "warning", "bad": "error"}[kind]
    with element("div", f"notice notice-{kind}") as drawn:
        icon(symbol)
        element("span", "", text)
    return attrs(drawn, role="alert" if kind == "bad" else "status")


def error_notice(title: str, text: str, action: str = "", on_click: Callable[..., object] | None = None) -> Element:
    """Draw what happened and what to do, with the button that does it."""
    with attrs(element("section", "notice notice-bad"), role="alert") as drawn:
        icon("error")
        with ui.column().classes("tight notice-body"):
            heading(2, title)
            element("p", "", text)
            if on_click is not None:
                button(action, on_click)
    return drawn


def empty(title: str, text: str, symbol: str = "inbox", *, action: str = "", target: str = "") -> Element:
    """Draw an empty state: why there is nothing, and the link to the next step."""
    with element("div", "empty") as drawn:
        icon(symbol, "empty-symbol")
        heading(2, title, "empty-title")
        element("p", "muted", text)
        if action and target:
            link_to(action, target).classes("button button-main")
    return drawn
