"""Cancels messages that are not sent yet: asks first, and shows the result."""

from imsg_console.client import ApiError
from imsg_console.layout import describe_error
from imsg_console.view import View
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.notices import toast


async def confirm_and_cancel(view: View, path: str, waiting: int) -> bool:
    """Confirm, and cancel a request or a message, by its path in the API. Return whether it was cancelled."""
    t = view.t
    if not await confirm(view, t("messages.cancel_ask", n=waiting), t("messages.cancel_what"), t("messages.cancel")):
        return False
    return await cancel(view, path)


async def cancel(view: View, path: str) -> bool:
    """Cancel, and say how many were and how many were not. Return whether it was answered."""
    try:
        answer = await view.api.post(f"/api/v2/{path}/cancel", {})
    except ApiError as error:
        toast(describe_error(view.t, error), good=False)
        return False
    totals = {name: answer[name] for name in ("cancelled", "too_late", "settled")}
    toast(view.t("messages.cancel_done", **totals), good=not answer["too_late"])
    return True
