"""Channels: open, paused or blocked and why, their providers, a test message, dead letters."""

from nicegui import ui

from imsg_console.features.channels.dead_letters import DeadLetters
from imsg_console.features.channels.tables import ChannelTables
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import attrs, element, heading
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.live import refresh_every

REFRESH_S = 4.0

DEAD = "dead"
"""The fragment of the URL that leads to the dead letters."""

SHOW_DEAD = f"location.hash === '#{DEAD}' && document.getElementById('{DEAD}').scrollIntoView()"
"""The browser looks for a fragment before the page is drawn."""


async def show(view: View) -> None:
    """Draw the page."""
    t = view.t
    page_head(t("layout.channels"), t("channels.lead"))
    tables = ChannelTables(view)
    await tables.refresh()
    with attrs(element("div"), id=DEAD):
        heading(2, t("channels.dead"))
        element("p", "page-lead", t("channels.dead_what"))
    await DeadLetters(view).table.load()

    ui.context.client.on_connect(lambda: ui.run_javascript(SHOW_DEAD))

    refresh_every(REFRESH_S, tables.refresh)


PAGE = Page("/channels", "channels", Group.ADMIN, show, icon="hub")
