"""The magic recipients, folded away: which address shows which trouble."""

from collections.abc import Mapping
from urllib.parse import urlencode

from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import element, icon, link_to


def magic(view: View, method: str, explained: Mapping[str, str]) -> None:
    """Draw those of a method."""
    fits = {to: what for to, what in explained.items() if ("@" in to) == (method == "smtp")}
    if not fits or method not in ("smtp", "sms"):
        return
    with element("details", "card magic"):
        with element("summary"):
            icon("auto_fix_high")
            element("span", "", view.t("sandbox.magic"))
        with element("ul", "tiles magic-list"):
            for to, what in fits.items():
                with element("li", "stack magic-item"):
                    link_to(line(to, 80), f"/send?{urlencode({'method': method, 'to': to})}")
                    element("span", "muted", view.t.get(f"sandbox.magic_{to}", line(what, 300)))
