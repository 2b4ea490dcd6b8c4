"""How much one may send, and how much is left."""

from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import heading
from imsg_console.widgets.notices import empty


async def show(view: View) -> None:
    """Draw the page."""
    heading(1, view.t("frame.limits"))
    empty(view.t("frame.soon"), "", "construction")


PAGE = Page("/limits", "limits", Group.USER, show, icon="speed")
