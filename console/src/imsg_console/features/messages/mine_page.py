"""A user's own messages."""

import re

from imsg_console.features.messages.panel import MessagePanel
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import element, link_to
from imsg_console.widgets.facts import page_head

_REQUEST = re.compile(r"[0-9a-f]{32}")


async def show(view: View) -> None:
    """Draw the page."""
    t, request = view.t, view.query.get("id", "").strip().lower()
    page_head(t("mine.title"), t("mine.lead"))
    if _REQUEST.fullmatch(request):
        with element("div", "notice notice-info"):
            element("span", "", t("mine.request"))
            link_to(t("mine.request_link"), f"/sent/{request}")
    await MessagePanel(view, everybody=False).show()


PAGE = Page("/mine", "mine", Group.USER, show, icon="history")
