"""How much one may send, and how much is left."""

from nicegui import ui

from imsg_console.quota import draw_quota, read_quotas
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import element, link_to
from imsg_console.widgets.facts import card, page_head
from imsg_console.widgets.notices import notice


async def show(view: View) -> None:
    """Draw the page."""
    t = view.t
    page_head(t("limits.title"), t("limits.lead"))
    me = await view.api.get("/api/v2/me")
    if not me["available"]:
        notice(t("limits.not_available"), "bad")
    with element("div", "tiles limits-cards"):
        for quota in read_quotas(me, view.timezone):
            with element("section", "card"):
                draw_quota(t, quota)
                if quota.left == 0:
                    notice(t("limits.used_up"), "warn")
    with card(t("limits.how")):
        with element("ul", "stack tight"):
            for key in ("how_counts", "how_windows", "how_refused", "how_more"):
                element("li", "", t(f"limits.{key}", zone=view.timezone))
        with ui.row():
            if view.session.is_admin:
                link_to(t("limits.change"), "/users").classes("button")
            if view.may("POST /messages"):
                link_to(t("limits.send"), "/send", "send").classes("button button-main")


PAGE = Page("/limits", "limits", Group.USER, show, icon="speed")
