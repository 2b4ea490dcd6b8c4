"""What is said in passing and in place: toasts, notices, empty states that teach the next step."""

from collections.abc import Callable

from nicegui import ui
from nicegui.element import Element

from imsg_console.widgets.elements import attrs, button, element, heading, icon, link_to

TOAST_MS = 6_000


def toast(text: str, *, good: bool = True) -> None:
    """Say what has just become of something, for a while; screen readers hear it."""
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
    """Say what happened and what to do, with the button that does it."""
    with attrs(element("section", "notice notice-bad notice-large"), role="alert") as drawn:
        icon("error")
        with element("div", "stack tight notice-body"):
            heading(2, title)
            element("p", "", text)
            if on_click is not None:
                button(action, on_click)
    return drawn


def empty(title: str, text: str, symbol: str = "inbox", *, action: str = "", target: str = "") -> Element:
    """Stand where there is nothing yet: say why, and lead to the next step."""
    with element("div", "empty") as drawn:
        icon(symbol, "empty-symbol")
        heading(2, title, "empty-title")
        element("p", "muted", text)
        if action and target:
            link_to(action, target).classes("button button-main")
    return drawn
