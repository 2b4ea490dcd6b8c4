"""The code of a request in several languages, each with a button that copies it."""

from nicegui import ui

from imsg_console.message import snippets
from imsg_console.message.snippets import SentRequest
from imsg_console.view import View
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.elements import attrs
from imsg_console.widgets.facts import code_block


def draw_code(view: View, sent: SentRequest, key: str = snippets.KEY_PLACE) -> None:
    """Draw the code that sends a request with an API key."""
    t = view.t
    with ui.tabs().props("no-caps align=left") as tabs:
        for name in snippets.LANGUAGES:
            ui.tab(name)
    attrs(tabs, aria_label=t("layout.code"))
    with ui.tab_panels(tabs, value="curl").classes("lines"):
        for name, write in snippets.LANGUAGES.items():
            with ui.tab_panel(name), ui.column().classes("tight code"):
                code = write(sent, key)
                copy_button(view, code, name=t("layout.copy_code", name=name))
                code_block(code, name)


def read_base_url() -> str:
    """Return the address of iMSG that the page was loaded from."""
    return str(ui.context.client.request.base_url).rstrip("/")
