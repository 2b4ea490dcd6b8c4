"""The frame that shows HTML of strangers."""

from nicegui import ui
from nicegui.element import Element

from imsg_console.paths import BODIES
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, element


def body_frame(view: View, html: str, title: str) -> Element:
    """Draw a frame that shows the HTML; nothing of it can run, load or submit anything."""
    name = view.bodies.store(view.session.key, html)
    ui.context.client.on_delete(lambda: view.bodies.forget(name))
    frame = attrs(element("iframe", "body-frame"), src=f"{BODIES}{name}", title=title, sandbox="")
    return attrs(frame, referrerpolicy="no-referrer")
