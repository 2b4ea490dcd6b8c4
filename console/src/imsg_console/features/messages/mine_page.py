"""What became of one's own messages."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from imsg_console.client import ApiError
from imsg_console.features.messages.panel import MessagePanel
from imsg_console.features.messages.recent import List, Recent
from imsg_console.layout import sentence
from imsg_console.sanitize import line
from imsg_console.time_format import TimeFormat
from imsg_console.view import Group, Page, View
from imsg_console.widgets import chips
from imsg_console.widgets.elements import attrs, button, element, heading, link_to, live_text, style_sheet

_REQUEST = re.compile(r"[0-9a-f]{32}")


async def show(view: View) -> None:
    """Draw the page."""
    t = view.t
    style_sheet("send")
    heading(1, t("mine.title"))
    element("p", "page-lead", t("mine.lead"))
    asked = view.query.get("id", "").strip().lower()
    if _REQUEST.fullmatch(asked):
        with element("div", "notice notice-info"):
            element("span", "", t("mine.request"))
            link_to(t("mine.request_link"), f"/sent/{asked}")
    elif not view.query:
        await _lists(view)
    await MessagePanel(view, everybody=False).show()


async def _lists(view: View) -> None:
    """Lead back to every list that was sent, the latest first: it may still be on its way."""
    recent = Recent(view.api, view.session.username)
    try:
        found = await recent.more()
    except ApiError:
        return  # the listing below says it
    if not found and recent.is_at_end:
        return
    with element("section", "card stack"):
        heading(2, view.t("mine.lists"))
        listed = element("ul", "stack tight recent-lists")
        said = attrs(live_text("muted"), role="status")

        async def go_on() -> None:
            try:
                draw(await recent.more())
            except ApiError as error:
                said.text = sentence(view.t, error)

        older = button(view.t("mine.older"), go_on, kind="quiet", symbol="expand_more").classes("button-small")

        def draw(lists: Sequence[List]) -> None:
            with listed:
                for one in lists:
                    _link(view, one)
            older.set_visibility(not recent.is_at_end)
            said.text = "" if lists or recent.is_at_end else view.t("mine.none_yet")

        draw(found)


def _link(view: View, one: List) -> None:
    message, t = one.first, view.t
    with element("li", "line"):
        chips.method(view, message["method"])
        content = message["content"] if isinstance(message["content"], str) else ""
        title = line(message["subject"] or content, 60) or t("mine.no_subject")
        key = "mine.list_more" if one.is_more else "mine.list"
        link_to(t(key, title=title, n=one.count), f"/sent/{one.request}")
        moments = TimeFormat(view.timezone, english=t.language == "en")
        element("span", "muted", moments.short(message["created_at"], datetime.now(UTC)))


PAGE = Page("/mine", "mine", Group.USER, show, icon="history")
