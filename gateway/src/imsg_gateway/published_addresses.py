"""The addresses of a channel, where its sender publishes them in Redis."""

from collections.abc import Sequence

from imsg_contract.topology import FOLLOWERS_COMPLETE, addresses_key
from imsg_runtime.redis import Redis

PER_CALL = 1_000


class PublishedAddresses:
    """Reads what senders have published."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def find_unknown(self, method: str, addresses: Sequence[str]) -> set[str]:
        """Return the addresses that the channel lacks; none until its sender has published its addresses.

        Raises RedisUnavailable.
        """
        unknown: set[str] = set()
        for at in range(0, len(addresses), PER_CALL):
            some = addresses[at : at + PER_CALL]
            *known, is_complete = await self._redis.call("SMISMEMBER", addresses_key(method), *some, FOLLOWERS_COMPLETE)
            if is_complete:
                unknown |= {address for address, is_known in zip(some, known, strict=True) if not is_known}
        return unknown
