"""Send a message."""

from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import heading
from imsg_console.widgets.notices import empty


async def show(view: View) -> None:
    """Draw the page."""
    heading(1, view.t("frame.send"))
    empty(view.t("frame.soon"), "", "construction")


PAGE = Page("/send", "send", Group.USER, show, icon="send")
