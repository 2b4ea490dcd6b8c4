"""The sandbox: messages that arrived, followers, faults."""

from collections.abc import Mapping
from typing import Protocol

from nicegui import ui

from imsg_channels import BY_NAME
from imsg_channels.smtp import SMTP
from imsg_channels.wechat import WECHAT
from imsg_console.features.sandbox.chat import Chats
from imsg_console.features.sandbox.conversations import Conversations
from imsg_console.features.sandbox.faults import FaultBoard
from imsg_console.features.sandbox.magic import draw_magic
from imsg_console.features.sandbox.mails import Mails
from imsg_console.view import Group, Page, View
from imsg_console.widgets.chips import METHODS, method_name
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import button, style_sheet
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.fields import toggle
from imsg_console.widgets.live import refresh_every
from imsg_console.widgets.notices import toast

TABS = (*METHODS, "faults")

REFRESH_S = 2.0


class Tab(Protocol):
    """The content of a tab."""

    async def refresh(self) -> None:
        """Show what has changed. Raises ApiError."""


async def show(view: View) -> None:
    """Draw the page."""
    t = view.t
    for sheet in ("messages", "sandbox"):
        style_sheet(sheet)
    tab = view.query.get("tab", "")
    tab = tab if tab in TABS else SMTP.name
    about = await view.sandbox.call("GET", "/sandbox")

    async def empty_inbox() -> None:
        if await confirm(view, t("sandbox.empty_ask"), t("sandbox.empty_what"), t("sandbox.empty")):
            removed = await view.sandbox.call("DELETE", "/sandbox/inbox")
            toast(t("sandbox.emptied", n=removed["removed"]))
            await shown.refresh()

    with page_head(t("layout.sandbox"), t("sandbox.lead")):
        if tab != "faults":
            button(t("sandbox.empty"), empty_inbox, symbol="delete_sweep")
    _draw_tabs(view, tab)
    shown = _open_tab(view, tab, about["supported"])
    draw_magic(view, tab, about["magic_recipients"])
    await shown.refresh()

    refresh_every(REFRESH_S, shown.refresh)


def _open_tab(view: View, tab: str, supported: Mapping[str, list[str]]) -> Tab:
    match tab:
        case SMTP.name:
            return Mails(view)
        case WECHAT.name:
            return Chats(view)
        case "faults":
            return FaultBoard(view, supported)
    return Conversations(view, BY_NAME[tab])


def _draw_tabs(view: View, tab: str) -> None:
    names = {name: view.t("sandbox.tab_faults") if name == "faults" else method_name(view.t, name) for name in TABS}
    toggle(view.t("sandbox.tabs"), names, tab, lambda name: ui.navigate.to(f"/inbox?tab={name}"))


PAGE = Page("/inbox", "sandbox", Group.ADMIN, show, icon="science", needs_sandbox=True)
