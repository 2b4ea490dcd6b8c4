"""Change one's own password."""

from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import heading
from imsg_console.widgets.notices import empty


async def show(view: View) -> None:
    """Draw the page."""
    heading(1, view.t("frame.password"))
    empty(view.t("frame.soon"), "", "construction")


PAGE = Page("/password", "password", Group.USER, show)
