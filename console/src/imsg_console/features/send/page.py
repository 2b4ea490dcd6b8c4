"""Sending a message."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from nicegui import ui
from nicegui.element import Element

from imsg_console.client import ApiError, make_url, path
from imsg_console.features.send.draft import KeptDraft
from imsg_console.features.send.form import SendForm
from imsg_console.features.send.sending import Sending
from imsg_console.sanitize import line
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import button, element, link_to, redraw, style_sheet
from imsg_console.widgets.facts import page_head
from imsg_console.widgets.notices import notice
from imsg_contract.roles import SENDERS

ASKED = ("like", "to", "group", "template", "method")
"""What a link may ask for; a draft is only offered then."""


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("send")
    head = page_head(view.t("send.title"), view.t("send.lead"))
    me = await view.api.get("/api/v2/me")
    templates = [template async for page in view.api.pages("/api/v2/templates", "templates") for template in page]
    place = element("div", "draft-place")
    groups = [group async for page in view.api.pages("/api/v2/groups", "groups") for group in page]
    form = SendForm(view, me, templates, groups, await _list_channels(view))
    Sending(view, form).draw()
    form.start_saving(partial(_restore_draft, view, form, place))
    if like := view.query.get("like", ""):
        await _fill(view, form, like)
    if to := view.query.get("to", ""):
        await form.add_recipients([to])
    if template := view.query.get("template", ""):
        await form.choose_template(template)
    if group := view.query.get("group", ""):
        form.choose_group(group)
    if not like:
        with head:
            await _draw_last(view)


async def _list_channels(view: View) -> Sequence[Mapping[str, Any]]:
    """List the channels with their senders; none while the broker can't be asked: a message can be written without."""
    try:
        channels: Sequence[Mapping[str, Any]] = (await view.api.get("/api/v2/channels"))["channels"]
    except ApiError:
        return ()
    return channels


async def _restore_draft(view: View, form: SendForm, place: Element, kept: KeptDraft) -> None:
    """Restore a draft; where the page was opened for something else, offer it."""
    is_offered = any(map(view.query.get, ASKED))
    if not is_offered:
        await form.restore(kept)
    _draw_draft(view, form, place, kept, is_offered=is_offered)


def _draw_draft(view: View, form: SendForm, place: Element, kept: KeptDraft, *, is_offered: bool) -> None:
    t = view.t
    at = view.times.short(datetime.fromtimestamp(kept.at_ms / 1000, UTC).isoformat())
    names = [str(name) for name in kept.draft.get("files") or ()]

    async def restore() -> None:
        await form.restore(kept)
        _draw_draft(view, form, place, kept, is_offered=False)

    def forget() -> None:
        form.forget()
        ui.navigate.to("/send")

    with (
        redraw(place),
        notice(t("send.draft_there" if is_offered else "send.draft_back", at=at)).classes("draft-notice"),
    ):
        if names and not is_offered:
            element("span", "", t("send.draft_files", names=line(t.join_names(names), 200)))
        if is_offered:
            button(t("send.draft_restore"), restore)
        button(t("send.draft_forget"), forget, kind="quiet")


async def _fill(view: View, form: SendForm, like: str) -> None:
    """Fill in the content of a request that was sent."""
    t = view.t
    try:
        request = await view.api.get(path("/api/v2/requests", like))
    except ApiError:
        request = {"content": None}
    if request["content"] is None or not await form.fill(request):
        notice(t("send.like_gone"), "warn")
    elif request["attachments"]:
        notice(t("send.like_attachments"), "info")


async def _draw_last(view: View) -> None:
    """Offer what the user sent last as a start."""
    try:
        last = (await view.api.get("/api/v2/requests", username=view.session.username, limit=1))["requests"]
    except ApiError:
        last = []
    if last and last[0]["content"] is not None:
        link_to(view.t("send.like_last"), make_url("/send", like=last[0]["id"]), "history").classes("button")


PAGE = Page("/send", "send", Group.USER, show, icon="send", roles=SENDERS)
