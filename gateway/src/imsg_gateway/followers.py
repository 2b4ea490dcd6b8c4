"""Who follows an official account, as sender-wechat says it in Redis."""

from collections.abc import Sequence
from enum import Enum, auto

from imsg_contract.topology import FOLLOWERS_COMPLETE, followers_key, left_key
from imsg_runtime.redis import Redis

TAGS_PER_CALL = 1_000


class Standing(Enum):
    """How a tag stands to the accounts asked about."""

    FOLLOWS = auto()
    """Or can't be told at present: the sender settles it then."""
    LEFT = auto()
    ELSEWHERE = auto()
    """It is another account's."""
    UNKNOWN = auto()


class Followers:
    """Reads the sets of followed and left tags of the configured accounts."""

    def __init__(self, redis: Redis, accounts: tuple[str, ...]) -> None:
        self._redis = redis
        self._accounts = accounts

    async def standings(self, tags: Sequence[str], account: str | None) -> list[Standing]:
        """Say of each tag how it stands to `account`, or to any account where that is None. Raises RedisUnavailable."""
        standings: list[Standing] = []
        for at in range(0, len(tags), TAGS_PER_CALL):
            standings += await self._slice(tags[at : at + TAGS_PER_CALL], account)
        return standings

    async def _slice(self, tags: Sequence[str], account: str | None) -> list[Standing]:
        asked = self._accounts if account is None else (account,)
        follow: set[str] = set()
        left: set[str] = set()
        elsewhere: set[str] = set()
        is_whole = True
        for name in self._accounts:
            followed = await self._redis.call("SMISMEMBER", followers_key(name), *tags, FOLLOWERS_COMPLETE)
            gone = await self._redis.call("SMISMEMBER", left_key(name), *tags)
            if name in asked:
                follow |= _choose(tags, followed)
                left |= _choose(tags, gone)
                is_whole &= bool(followed[-1])
            else:
                elsewhere |= _choose(tags, followed) | _choose(tags, gone)

        def judge(tag: str) -> Standing:
            if tag in follow:
                return Standing.FOLLOWS
            if tag in left:
                return Standing.LEFT
            if tag in elsewhere:
                return Standing.ELSEWHERE
            return Standing.UNKNOWN if is_whole else Standing.FOLLOWS

        return [judge(tag) for tag in tags]


def _choose(tags: Sequence[str], flags: Sequence[int]) -> set[str]:
    return {tag for tag, flag in zip(tags, flags, strict=False) if flag}
