"""What happened, and what needs attention."""

from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import heading
from imsg_console.widgets.notices import empty


async def show(view: View) -> None:
    """Draw the page."""
    heading(1, view.t("frame.overview"))
    empty(view.t("frame.soon"), "", "construction")


PAGE = Page("/", "overview", Group.ADMIN, show, icon="space_dashboard")
