"""What became of one's own messages."""

import re

from imsg_console.client import ApiError
from imsg_console.messages.panel import MessagePanel
from imsg_console.plain import line
from imsg_console.sending.sent import recent
from imsg_console.view import Group, Page, View
from imsg_console.widgets import chips
from imsg_console.widgets.elements import classed, heading, link_to, style_sheet

LOOKED_AT = 200
"""Messages among which recent lists are looked for."""

LISTS = 5

_REQUEST = re.compile(r"[0-9a-f]{32}")


async def show(view: View) -> None:
    """Draw the page."""
    t = view.t
    style_sheet("send")
    heading(1, t("mine.title"))
    classed("p", "page-lead", t("mine.lead"))
    asked = view.query.get("id", "").strip().lower()
    if _REQUEST.fullmatch(asked):
        with classed("div", "notice notice-info"):
            classed("span", "", t("mine.request"))
            link_to(t("mine.request_link"), f"/sent/{asked}")
    elif not view.query:
        await _lists(view)
    await MessagePanel(view, everybody=False).show()


async def _lists(view: View) -> None:
    """Lead back to lists that were sent lately, and may still be on their way."""
    try:
        answer = await view.api.get("/api/v2/messages", username=view.session.username, limit=LOOKED_AT)
    except ApiError:
        return  # the listing below says it
    found = recent(answer["messages"])[:LISTS]
    oldest = str(answer["messages"][-1]["id"]) if answer["messages"] else ""  # its request may go on beyond the page
    if not found:
        return
    with classed("section", "card stack"):
        heading(2, view.t("mine.lists"))
        with classed("ul", "recent-lists"):
            for message, count in found:
                with classed("li", ""):
                    chips.method(view, message["method"])
                    content = message["content"] if isinstance(message["content"], str) else ""
                    title = line(message["subject"] or content, 60) or view.t("mine.no_subject")
                    request = str(message["id"]).partition("-")[0]
                    key = "mine.list_more" if request in oldest and answer["next"] else "mine.list"
                    link_to(view.t(key, title=title, n=count), f"/sent/{request}")


PAGE = Page("/mine", "mine", Group.USER, show, icon="history")
