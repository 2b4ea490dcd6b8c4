"""What became of one's own messages."""

from imsg_console.view import Group, Page, View
from imsg_console.widgets.elements import heading
from imsg_console.widgets.notices import empty


async def show(view: View) -> None:
    """Draw the page."""
    heading(1, view.t("frame.mine"))
    empty(view.t("frame.soon"), "", "construction")


PAGE = Page("/mine", "mine", Group.USER, show, icon="history")
