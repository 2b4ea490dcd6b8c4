"""Pausing a channel, with a confirmation and a reason; and resuming it."""

from collections.abc import Awaitable, Callable
from typing import Any

from imsg_console.client import path
from imsg_console.view import View
from imsg_console.widgets.forms import Field, Form, ask_form
from imsg_console.widgets.notices import toast

Refresh = Callable[[], Awaitable[None]]


async def pause(view: View, method: str, name: str, refresh: Refresh) -> None:
    """Ask for a reason, and pause. Raises ApiError, SessionOver."""
    t = view.t

    async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
        reason = {name: text for name, text in form.read().items() if text}
        return await view.api.patch(path("/api/v2/channels", method), {"paused": True, **reason})

    field = Field("reason", t("channels.pause_why"), max_length=200, placeholder=t("channels.pause_why_hint"))
    title, action, text = t("channels.pause_ask", channel=name), t("channels.pause"), t("channels.pause_what")
    if await ask_form(view, title, [field], action, save, text=text, danger=True):
        toast(t("channels.pause_done", channel=name))
        await refresh()


async def resume(view: View, method: str, name: str, refresh: Refresh) -> None:
    """Resume. Raises ApiError, SessionOver."""
    await view.api.patch(path("/api/v2/channels", method), {"paused": False})
    toast(view.t("channels.resume_done", channel=name))
    await refresh()
