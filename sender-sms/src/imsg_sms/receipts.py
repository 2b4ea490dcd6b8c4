"""Publishes receipts, inbound messages and suppressions."""

from collections.abc import Collection

from imsg_broker.port import Broker
from imsg_contract.suppressions import Suppression
from imsg_contract.topology import INBOUND, RECEIPT
from imsg_contract.wire import Inbound, Receipt
from imsg_runtime.redis import Redis

KEEP_S = 4 * 86_400
"""Longer than 72 h, after which carriers send no more receipts."""


class Receipts:
    """Publishes receipts, and remembers in Redis which messages were looked up by our own id.

    A message whose call got no reply has no id of the provider. It is recorded under our id, and its receipts too.
    """

    def __init__(self, broker: Broker, redis: Redis) -> None:
        self._broker = broker
        self._redis = redis

    async def publish(self, receipt: Receipt) -> None:
        """Publish, and return once the broker has confirmed it. Raises PublishRefused, PublishUnknown."""
        await self._broker.publish(receipt.encode(), self._broker.topology.new(RECEIPT))

    async def publish_inbound(self, inbound: Inbound) -> None:
        """Publish, and return once the broker has confirmed it. Raises PublishRefused, PublishUnknown."""
        await self._broker.publish(inbound.encode(), self._broker.topology.new(INBOUND))

    async def suppress(self, suppression: Suppression) -> None:
        """Publish a suppression; return once the broker has confirmed it. Raises PublishRefused, PublishUnknown."""
        await self._broker.publish(suppression.encode(), self._broker.topology.suppressions)

    async def remember(self, reference: str) -> None:
        """Record, before the look-up, that a chunk is looked up by our id. Raises RedisUnavailable."""
        await self._redis.call("SET", _key(reference), "1", "EX", KEEP_S)

    async def recall(self, references: Collection[str]) -> set[str]:
        """Return which of these chunks were looked up by our id. Raises RedisUnavailable."""
        if not references:
            return set()
        names = sorted(references)
        flags = await self._redis.call("MGET", *(_key(name) for name in names))
        return {name for name, flag in zip(names, flags, strict=True) if flag is not None}


def _key(reference: str) -> str:
    return f"imsg:sms:asked:{reference}"
