"""Receipts and inbound messages on their way to history.

A receipt goes under our own id too where its message was only found by asking.
"""

from collections.abc import Collection

from imsg_broker.port import Broker
from imsg_contract.suppressions import Suppression
from imsg_contract.topology import INBOUND, RECEIPT
from imsg_contract.wire import Inbound, Receipt
from imsg_runtime.redis import Redis

KEEP_S = 4 * 86_400
"""Longer than carriers try: their last receipt comes after 72 h at most."""


class Receipts:
    """Publishes receipts and inbound messages, and remembers in Redis which of our ids were asked about.

    Whose call was never answered has no id of the provider; it is settled under our own, and so its receipts must be.
    """

    def __init__(self, broker: Broker, redis: Redis) -> None:
        self._broker = broker
        self._redis = redis

    async def publish(self, receipt: Receipt) -> None:
        """Publish, and return once the broker has it. Raises PublishRefused, PublishUnknown."""
        await self._broker.publish(receipt.encode(), self._broker.topology.new(RECEIPT))

    async def publish_inbound(self, inbound: Inbound) -> None:
        """Publish, and return once the broker has it. Raises PublishRefused, PublishUnknown."""
        await self._broker.publish(inbound.encode(), self._broker.topology.new(INBOUND))

    async def suppress(self, suppression: Suppression) -> None:
        """Publish a suppression for catalog; return once the broker has it. Raises PublishRefused, PublishUnknown."""
        await self._broker.publish(suppression.encode(), self._broker.topology.suppressions)

    async def remember(self, reference: str) -> None:
        """Note, before the provider is asked, that a chunk is asked about. Raises RedisUnavailable."""
        await self._redis.call("SET", _key(reference), "1", "EX", KEEP_S)

    async def recall(self, references: Collection[str]) -> set[str]:
        """Say which of these chunks were asked about. Raises RedisUnavailable."""
        if not references:
            return set()
        names = sorted(references)
        found = await self._redis.call("MGET", *(_key(name) for name in names))
        return {name for name, one in zip(names, found, strict=True) if one is not None}


def _key(reference: str) -> str:
    return f"imsg:sms:asked:{reference}"
