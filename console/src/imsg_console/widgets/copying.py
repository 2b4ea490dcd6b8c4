"""Copying to the clipboard, where the browser lets a page do so."""

from collections.abc import Callable

from nicegui import ui

from imsg_console.view import View
from imsg_console.widgets.elements import button
from imsg_console.widgets.notices import toast


def copy_button(view: View, text: Callable[[], str], label: str = "") -> ui.button:
    """Draw a button that copies what `text` returns."""

    def copy() -> None:
        ui.clipboard.write(text())
        toast(view.t("layout.copied"))

    return button(label or view.t("layout.copy"), copy, kind="quiet", symbol="content_copy")
