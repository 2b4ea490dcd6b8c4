"""Users: who may send, how much, and what of it is used."""

from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import heading
from imsg_console.widgets.notices import empty


async def show(view: View) -> None:
    """Draw the page."""
    heading(1, view.t("frame.users"))
    empty(view.t("frame.soon"), "", "construction")


PAGE = Page("/users", "users", Group.ADMIN, show, icon="group")
