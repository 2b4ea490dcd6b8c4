"""One message: every attempt, and the provider's answer."""

from imsg_console.features.messages.detail import MessageDetail
from imsg_console.message.filters import NotAnIdError, read_id
from imsg_console.view import Group, Page, View


async def show(view: View) -> None:
    """Draw the page."""
    try:
        identity = read_id(view.segments["id"])
    except NotAnIdError:
        identity = ""
    await MessageDetail(view, identity).show()


PAGE = Page("/messages/{id}", "message", Group.USER, show, under="/messages")
