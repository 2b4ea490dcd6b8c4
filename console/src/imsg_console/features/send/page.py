"""Sending a message by e-mail, SMS or WeChat."""

from datetime import UTC, datetime
from functools import partial

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.features.send.draft import Kept
from imsg_console.features.send.form import Form
from imsg_console.sanitize import line
from imsg_console.time_format import TimeFormat
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import button, element, heading, style_sheet
from imsg_console.widgets.notices import notice


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("send")
    heading(1, view.t("send.title"))
    element("p", "page-lead", view.t("send.lead"))
    me = await view.api.get("/api/v2/me")
    published = await view.api.get("/api/v2/templates")
    place = element("div", "draft-place")
    form = Form(view, me, published)
    form.draw()
    form.keep(partial(_find, view, form, place))
    if like := view.query.get("like", ""):
        await _fill(view, form, like)
    if to := view.query.get("to", ""):
        await form.address([to])


async def _find(view: View, form: Form, place: ui.element, kept: Kept) -> None:
    """Bring a draft back; beside what the page was opened for, it is offered."""
    is_other = bool(view.query.get("like") or view.query.get("to"))
    if not is_other:
        await form.restore(kept)
    _tell(view, form, place, kept, is_offered=is_other)


def _tell(view: View, form: Form, place: ui.element, kept: Kept, *, is_offered: bool) -> None:
    t = view.t
    moments = TimeFormat(view.timezone, english=t.language == "en")
    at = moments.short(datetime.fromtimestamp(kept.at_ms / 1000, UTC).isoformat(), datetime.now(UTC))
    names = [str(name) for name in kept.draft.get("files") or ()]

    async def restore() -> None:
        await form.restore(kept)
        _tell(view, form, place, kept, is_offered=False)

    def forget() -> None:
        form.forget()
        ui.navigate.to("/send")

    place.clear()
    with place, notice(t("send.draft_there" if is_offered else "send.draft_back", at=at)).classes("draft-notice"):
        if names and not is_offered:
            element("span", "", t("send.draft_files", names=line(t("send.draft_listing").join(names), 200)))
        if is_offered:
            button(t("send.draft_restore"), restore).classes("button-small")
        button(t("send.draft_forget"), forget, kind="quiet").classes("button-small")


async def _fill(view: View, form: Form, like: str) -> None:
    """Begin with what was sent once."""
    try:
        answer = await view.api.get("/api/v2/messages", id=like, limit=1)
    except ApiError:
        answer = {"messages": []}
    if not answer["messages"]:
        notice(view.t("send.like_gone"), "warn")
        return
    message = answer["messages"][0]
    form.fill(message["method"], message["content"])
    if message["attachments"]:
        notice(view.t("send.like_attachments"), "info")


PAGE = Page("/send", "send", Group.USER, show, icon="send")
