"""Channels: open or paused and why, dead letters, a test send."""

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.features.channels.cards import Cards
from imsg_console.features.channels.dead_letters import DeadLetters
from imsg_console.time_format import TimeFormat
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import element, heading, style_sheet

EVERY_S = 4.0


async def show(view: View) -> None:
    """Draw the page."""
    t = view.t
    moments = TimeFormat(view.timezone, english=t.language == "en")
    style_sheet("messages")
    style_sheet("channels")
    with element("div"):
        heading(1, t("layout.channels"))
        element("p", "page-lead", t("channels.lead"))
    cards = Cards(view, moments)
    await cards.refresh()
    with element("div"):
        heading(2, t("channels.dead"))
        element("p", "page-lead", t("channels.dead_what"))
    await DeadLetters(view, moments).load()

    async def look() -> None:
        try:
            await cards.refresh()
        except ApiError:
            return  # the next look may find it again

    ui.timer(EVERY_S, look, immediate=False)


PAGE = Page("/channels", "channels", Group.ADMIN, show, icon="hub")
