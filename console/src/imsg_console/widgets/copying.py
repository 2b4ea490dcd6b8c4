"""Buttons that copy a text to the clipboard."""

from nicegui import ui

from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button
from imsg_console.widgets.notices import toast

COPY = "(event) => navigator.clipboard?.writeText(event.currentTarget.dataset.text)"
"""The script runs in the click itself: browsers let no page write to the clipboard later."""


def copy_button(view: View, text: str, label: str = "", *, name: str = "") -> ui.button:
    """Draw a button that copies a text; `name` tells it from others."""
    made = button(label or view.t("layout.copy"), lambda: toast(view.t("layout.copied")), symbol="content_copy")
    made.on("click", js_handler=COPY).classes("button-quiet")
    attrs(made, data_text=text)
    return attrs(made, aria_label=name, title=name) if name else made
