"""Users who have used up what they may send, or nearly."""

from typing import Any

from imsg_console.client import Api
from imsg_console.widgets.bars import NEAR

USER_PAGES = 4
"""How many pages of users are looked through: 2,000 users."""

User = dict[str, Any]


async def near_limits(api: Api) -> list[User]:
    """Find them, who has used most of a limit first. Raises ApiError."""
    found: list[User] = []
    pages = 0
    async for page in api.pages("/api/v2/users", "users"):
        found += [user for user in page if user["available"] and share(user) >= NEAR]
        pages += 1
        if pages == USER_PAGES:
            break
    return sorted(found, key=share, reverse=True)


def share(user: User) -> float:
    """Return how much of the tighter limit is used; nothing for who may send nothing, or has sent nothing."""
    return max((user[f"used_{one}"] / user[f"per_{one}"] for one in ("hour", "day") if user[f"per_{one}"]), default=0.0)
