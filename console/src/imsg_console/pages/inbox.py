"""The sandbox: what arrived, followers, faults."""

from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import heading
from imsg_console.widgets.notices import empty


async def show(view: View) -> None:
    """Draw the page."""
    heading(1, view.t("frame.inbox"))
    empty(view.t("frame.soon"), "", "construction")


PAGE = Page("/inbox", "inbox", Group.ADMIN, show, icon="science", needs_sandbox=True)
