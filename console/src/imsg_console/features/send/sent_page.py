"""What was sent: how far it is, and the lines that send it again."""

import re

from nicegui import ui

from imsg_console.features.send.sent import Sent
from imsg_console.layout import missing
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import style_sheet

MOST_DIGITS = 8

_REQUEST = re.compile(r"[0-9a-f]{32}")


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("send")
    if not _REQUEST.fullmatch(view.segments["id"]):
        missing(view)
        return
    told = view.query.get("n", "")
    count = int(told) if told.isascii() and told.isdigit() and len(told) < MOST_DIGITS else 0
    await Sent(view, view.segments["id"], _origin(), count).show()


def _origin() -> str:
    """Return where iMSG is, as whoever looks at this page calls it."""
    request = ui.context.client.request
    return str(request.base_url).rstrip("/")


PAGE = Page("/sent/{id}", "sent", Group.USER, show, under="/send")
