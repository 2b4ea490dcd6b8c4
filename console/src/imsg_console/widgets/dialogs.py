"""Questions before something that can't be taken back, and dialogs in general."""

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, heading


@contextmanager
def dialog(title: str, *, wide: bool = False) -> Iterator[ui.dialog]:
    """Open a dialog to fill; `await` it for what it is submitted with, None on Escape."""
    with ui.dialog() as opened, element("div", "dialog dialog-wide" if wide else "dialog") as card:
        named = heading(2, title, "dialog-title")
        attrs(card, role="document")
        attrs(opened, aria_labelledby=named.html_id, role="dialog")
        yield opened


async def confirm(view: View, title: str, text: str, action: str, *, danger: bool = True) -> bool:
    """Ask, and return whether to go on. The question says what happens; the button says what it does, never OK."""
    with dialog(title) as asked:
        element("p", "", text)
        with element("div", "actions dialog-foot"):
            button(view.t("layout.cancel"), lambda: asked.submit(False), kind="quiet")  # noqa: FBT003  the answer itself
            button(action, lambda: asked.submit(True), kind="danger" if danger else "main")  # noqa: FBT003
    agreed = await asked
    asked.delete()
    return bool(agreed)
