"""Users who have used up what they may send, or nearly."""

from typing import Any

from imsg_console.client import Api
from imsg_console.widgets.bars import NEAR

USER_PAGES = 4
"""Pages of users that are searched: 2,000 users."""

User = dict[str, Any]


async def find_near_limits(api: Api) -> list[User]:
    """Return them, those who have used most of a limit first. Raises ApiError."""
    near: list[User] = []
    pages = 0
    async for page in api.pages("/api/v2/users", "users"):
        near += [user for user in page if user["available"] and share(user) >= NEAR]
        pages += 1
        if pages == USER_PAGES:
            break
    return sorted(near, key=share, reverse=True)


def share(user: User) -> float:
    """Return the used share of the tighter limit; 0 for users who may send nothing."""
    return max(
        (user[f"used_{period}"] / user[f"per_{period}"] for period in ("hour", "day") if user[f"per_{period}"]),
        default=0.0,
    )
