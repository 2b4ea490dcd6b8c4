"""Pages that show what changes."""

from collections.abc import Awaitable, Callable

from nicegui import ui

from imsg_console.client import ApiError


def refresh_every(interval_s: float, refresh: Callable[[], Awaitable[object]]) -> None:
    """Refresh what is shown again and again; where the API can't answer, the next time may succeed."""

    async def try_to_refresh() -> None:
        try:
            await refresh()
        except ApiError:
            return

    ui.timer(interval_s, try_to_refresh, immediate=False)
