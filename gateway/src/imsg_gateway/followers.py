"""The followers of official accounts, as sender-wechat writes them to Redis."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import Enum, auto
from typing import NamedTuple

from imsg_contract.topology import FOLLOWERS_COMPLETE, followers_key, left_key
from imsg_runtime.redis import Redis

TAGS_PER_CALL = 1_000


class FollowerState(Enum):
    """Whether the person of a tag follows the accounts asked about."""

    FOLLOWS = auto()
    """Also while Redis does not have all followers: the sender finds out."""
    UNFOLLOWED = auto()
    OTHER_ACCOUNT = auto()
    """It is a tag of another account."""
    UNKNOWN = auto()


class Following(NamedTuple):
    """The state of a tag, and the account that its person follows, if any is known."""

    state: FollowerState
    account: str | None = None


ListAccounts = Callable[[], Awaitable[Collection[str]]]
"""Lists the official accounts: those of the settings, and those that were set up since."""


class Followers:
    """Reads the sets of followed and left tags of the accounts."""

    def __init__(self, redis: Redis, list_accounts: ListAccounts) -> None:
        self._redis = redis
        self._list_accounts = list_accounts

    async def find(self, tags: Sequence[str], account: str | None) -> list[Following]:
        """Return the state of each tag at `account`, or at any account for None. Raises RedisUnavailable."""
        following: list[Following] = []
        for at in range(0, len(tags), TAGS_PER_CALL):
            following += await self._find(tags[at : at + TAGS_PER_CALL], account)
        return following

    async def _find(self, tags: Sequence[str], account: str | None) -> list[Following]:
        following: dict[str, Following] = {}
        unfollowed: set[str] = set()
        others: set[str] = set()
        is_complete = True
        for name in await self._list_accounts():
            followed = await self._redis.call("SMISMEMBER", followers_key(name), *tags, FOLLOWERS_COMPLETE)
            left = await self._redis.call("SMISMEMBER", left_key(name), *tags)
            if account in (None, name):
                following |= dict.fromkeys(_select(tags, followed), Following(FollowerState.FOLLOWS, name))
                unfollowed |= _select(tags, left)
                is_complete &= bool(followed[-1])
            else:
                others |= _select(tags, followed) | _select(tags, left)
        found = (
            dict.fromkeys(others, Following(FollowerState.OTHER_ACCOUNT))
            | dict.fromkeys(unfollowed, Following(FollowerState.UNFOLLOWED))
            | following
        )
        missing = Following(FollowerState.UNKNOWN if is_complete else FollowerState.FOLLOWS)
        return [found.get(tag, missing) for tag in tags]


def _select(tags: Sequence[str], flags: Sequence[int]) -> set[str]:
    return {tag for tag, flag in zip(tags, flags, strict=False) if flag}
