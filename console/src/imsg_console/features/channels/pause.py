"""Pausing a channel, asked first and with a reason; and letting it go on."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from imsg_console.client import path
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import attrs, button, element
from imsg_console.widgets.notices import toast

MAX_WHY = 200

Refresh = Callable[[], Awaitable[None]]


async def pause(view: View, method: str, name: str, refresh: Refresh) -> None:
    """Ask, and pause. Raises ApiError, SessionOver."""
    t = view.t
    with dialog(t("channels.pause_ask", channel=name)) as asked:
        element("p", "", t("channels.pause_what"))
        why = ui.input(t("channels.pause_why")).props(f"outlined maxlength={MAX_WHY} autofocus")
        attrs(why, placeholder=t("channels.pause_why_hint"))
        why.on("keydown.enter", lambda: asked.submit("pause"))
        with element("div", "actions dialog-foot"):
            button(t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
            button(t("channels.pause"), lambda: asked.submit("pause"), kind="danger", symbol="pause")
    agreed = await asked
    reason = str(why.value or "").strip()
    asked.delete()
    if agreed:
        body: dict[str, Any] = {"paused": True, **({"reason": reason} if reason else {})}
        await view.api.patch(path("/api/v2/channels", method), body)
        toast(t("channels.pause_done", channel=name))
        await refresh()


async def resume(view: View, method: str, name: str, refresh: Refresh) -> None:
    """Let it go on. Raises ApiError, SessionOver."""
    await view.api.patch(path("/api/v2/channels", method), {"paused": False})
    toast(view.t("channels.resume_done", channel=name))
    await refresh()
