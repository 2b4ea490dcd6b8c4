"""Why what waits does not go out: its channel is paused or blocked, which holds up everybody."""

from imsg_console.client import ApiError
from imsg_console.sanitize import line
from imsg_console.view import View


async def find_held(view: View) -> dict[str, str]:
    """Return the methods whose channels send nothing now, each with its state; none where nobody can tell."""
    try:
        channels = (await view.api.get("/api/v2/channels"))["channels"]
    except ApiError:
        return {}
    return {one["method"]: one["state"] for one in channels if one["state"] != "open"}


async def explain_hold(view: View, method: str) -> str:
    """Say in a sentence what holds a channel up; empty where nothing does, or nobody can tell."""
    try:
        channels = (await view.api.get("/api/v2/channels"))["channels"]
    except ApiError:
        return ""
    found = next((one for one in channels if one["method"] == method), None)
    if found is None or found["state"] == "open":
        return ""
    why = line(found["why"], 200) if view.session.is_admin else ""
    return view.t(f"messages.held_{found['state']}", why=why).strip()
