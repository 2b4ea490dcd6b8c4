"""The messages of all users: filters, live, resend, export."""

from imsg_console.features.messages.panel import MessagePanel
from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import heading


async def show(view: View) -> None:
    """Draw the page."""
    heading(1, view.t("layout.messages"))
    await MessagePanel(view, everybody=True).show()


PAGE = Page("/messages", "messages", Group.ADMIN, show, icon="mail")
