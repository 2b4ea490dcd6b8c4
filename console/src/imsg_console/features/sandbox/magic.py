"""The magic recipients: which address causes which error."""

from collections.abc import Mapping

from nicegui import ui

from imsg_console.client import make_url
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import element, link_to


def draw_magic(view: View, method: str, explained: Mapping[str, str]) -> None:
    """Draw those of a method."""
    fits = {to: what for to, what in explained.items() if ("@" in to) == (method == "smtp")}
    if not fits or method not in ("smtp", "sms"):
        return
    folded = ui.expansion(view.t("sandbox.magic"), icon="auto_fix_high").classes("card magic")
    with folded, element("ul", "tiles"):
        for to, what in fits.items():
            with element("li", "stack tight"):
                link_to(line(to, 80), make_url("/send", method=method, to=to))
                element("span", "muted", view.t.get(f"sandbox.magic_{to}", line(what, 300)))
