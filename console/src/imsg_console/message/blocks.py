"""Channels that send nothing now: they are paused or blocked, which holds up everybody."""

from imsg_console.client import ApiError
from imsg_console.sanitize import line
from imsg_console.view import View


async def find_blocked(view: View) -> dict[str, str]:
    """Return the methods whose channels send nothing, each with its state; none where the API does not answer."""
    try:
        channels = (await view.api.get("/api/v2/channels"))["channels"]
    except ApiError:
        return {}
    return {one["method"]: one["state"] for one in channels if one["state"] != "open"}


async def explain_block(view: View, method: str) -> str:
    """Return a sentence about why a channel sends nothing; empty where it sends, or the API does not answer."""
    try:
        channels = (await view.api.get("/api/v2/channels"))["channels"]
    except ApiError:
        return ""
    channel = next((one for one in channels if one["method"] == method), None)
    if channel is None or channel["state"] == "open":
        return ""
    why = line(channel["why"], 200) if view.session.is_admin else ""
    return view.t(f"messages.held_{channel['state']}", why=why).strip()
