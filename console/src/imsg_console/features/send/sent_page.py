"""The page of a request that was sent."""

import re

from imsg_console.features.send.sent import Sent
from imsg_console.layout import draw_missing
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import style_sheet

MAX_DIGITS = 8

_REQUEST = re.compile(r"[0-9a-f]{32}")


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("send")
    if not _REQUEST.fullmatch(view.segments["id"]):
        draw_missing(view)
        return
    number = view.query.get("n", "")
    count = int(number) if number.isascii() and number.isdigit() and len(number) < MAX_DIGITS else 0
    await Sent(view, view.segments["id"], count).show()


PAGE = Page("/sent/{id}", "sent", Group.USER, show, under="/send")
