"""Sending a message by e-mail, SMS or WeChat."""

from imsg_console.client import ApiError
from imsg_console.sending.form import Form
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import classed, heading, style_sheet
from imsg_console.widgets.notices import notice


async def show(view: View) -> None:
    """Draw the page."""
    style_sheet("send")
    heading(1, view.t("send.title"))
    classed("p", "page-lead", view.t("send.lead"))
    me = await view.api.get("/api/v2/me")
    published = await view.api.get("/api/v2/templates")
    form = Form(view, me, published)
    form.draw()
    if like := view.query.get("like", ""):
        await _fill(view, form, like)
    if to := view.query.get("to", ""):
        await form.address([to])


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
