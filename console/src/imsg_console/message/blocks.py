"""Channels that are paused or blocked, so that none of their messages are sent."""

from collections.abc import Mapping, Sequence
from typing import Any

from imsg_console.client import ApiError
from imsg_console.sanitize import line
from imsg_console.view import View


async def find_blocked(view: View) -> dict[str, str]:
    """Return the methods whose channels send nothing, each with its state; none where the API does not answer."""
    return {channel["method"]: channel["state"] for channel in await _read_blocked(view)}


async def explain_block(view: View, method: str) -> str:
    """Return a sentence about why a channel sends nothing; empty where it sends, or the API does not answer."""
    channel = next((block for block in await _read_blocked(view) if block["method"] == method), None)
    if channel is None:
        return ""
    why = line(channel["why"], 200) if view.session.sees_all else ""
    return view.t(f"messages.held_{channel['state']}", why=why).strip()


async def _read_blocked(view: View) -> Sequence[Mapping[str, Any]]:
    try:
        channels = (await view.api.get("/api/v2/channels"))["channels"]
    except ApiError:
        return []
    return [channel for channel in channels if channel["state"] != "open"]
