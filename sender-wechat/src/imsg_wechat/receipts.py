"""Receipts on their way to history: kept by the broker, or here until it is back."""

import asyncio

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.topology import RECEIPT
from imsg_contract.wire import Receipt
from imsg_runtime.observe import logger

AGAIN_S = 1.0

MAX_WAITING = 10_000
"""Receipts held while the broker is away; each has some 300 bytes."""

log = logger(__name__)


class NotKept(Exception):  # noqa: N818  a state of the world
    """The broker has not certainly kept it."""


class Receipts:
    """Publishes receipts; what fails is tried again here, since WeChat itself repeats it for some seconds only."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: dict[tuple[str, str], Receipt] = {}

    async def keep(self, receipt: Receipt, patience_s: float) -> None:
        """Return once it is kept. Raises NotKept: it will be tried again, as long as this process lives."""
        try:
            async with asyncio.timeout(patience_s):
                await self._publish(receipt)
        except (PublishRefused, PublishUnknown, TimeoutError) as error:
            if len(self._waiting) < MAX_WAITING:
                self._waiting[receipt.provider_id, receipt.address] = receipt
            raise NotKept(str(error) or "the broker took too long") from error

    async def run(self) -> None:
        """Publish what waits, as long as we live; history takes a receipt twice without harm."""
        while True:
            await asyncio.sleep(AGAIN_S)
            for name, receipt in list(self._waiting.items()):
                try:
                    await self._publish(receipt)
                except (PublishRefused, PublishUnknown) as error:
                    log.info("receipts_wait", count=len(self._waiting), why=str(error))
                    break
                del self._waiting[name]

    async def _publish(self, receipt: Receipt) -> None:
        await self._broker.publish(receipt.encode(), self._broker.topology.new(RECEIPT))
