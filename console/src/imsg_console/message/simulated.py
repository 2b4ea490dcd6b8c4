"""Whether a message is in the sandbox, where a person can read it."""

from imsg_console.client import ApiError
from imsg_console.view import View


async def is_simulated(view: View, method: str, provider: str = "") -> bool:
    """Return whether the sandbox plays the provider, or one of the channel's; what cannot be asked for is taken so."""
    if not view.has_sandbox:
        return False
    try:
        providers = (await view.api.get("/api/v2/providers"))["providers"]
    except ApiError:
        return True
    return any(
        candidate["simulated"]
        for candidate in providers
        if candidate["method"] == method and provider in {"", candidate["name"]}
    )
