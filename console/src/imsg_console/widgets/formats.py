"""A button that asks which kind of file a download is to be."""

from collections.abc import Callable
from functools import partial

from nicegui import ui

from imsg_console.texts import Texts
from imsg_console.widgets.elements import attrs, button, element

XLSX, CSV = "xlsx", "csv"


def download_button(t: Texts, text: str, on_choose: Callable[[str], object]) -> ui.button:
    """Draw it; `on_choose` is told `xlsx` or `csv`."""
    made = button(text, lambda: None, symbol="download")
    attrs(made, aria_haspopup="dialog")

    def choose(kind: str) -> None:
        menu.close()
        on_choose(kind)

    with made, attrs(ui.menu().classes("menu"), role="dialog", aria_label=text) as menu:
        for kind in (XLSX, CSV):
            with ui.item(on_click=partial(choose, kind)).props('clickable role="button"'):
                element("span", "menu-text", t(f"files.as_{kind}"))
    return made
