"""Receipts on their way to history, and who has left to the catalog: kept by the broker, or here until it is back."""

import asyncio

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.suppressions import Suppression
from imsg_contract.topology import RECEIPT, Route
from imsg_contract.wire import Receipt
from imsg_runtime.logs import Recurring, logger

AGAIN_S = 1.0

TELL_PATIENCE_S = 0.4
"""How long a webhook's call waits until the catalog is told."""

MAX_WAITING = 10_000
"""Receipts held while the broker is away; each has some 300 bytes."""

log = logger(__name__)


class NotKept(Exception):  # noqa: N818  a state of the world
    """The broker has not certainly kept it."""


class Receipts:
    """Publishes receipts; what fails is tried again here, since WeChat itself repeats it for some seconds only."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: dict[tuple[str, str], tuple[bytes, Route]] = {}

    async def keep(self, receipt: Receipt, patience_s: float) -> None:
        """Return once it is kept. Raises NotKept: it will be tried again, as long as this process lives."""
        route = self._broker.topology.new(RECEIPT)
        await self._publish((receipt.provider_id, receipt.address), receipt.encode(), route, patience_s)

    async def tell(self, suppression: Suppression) -> None:
        """Have the catalog hear of it, at once or later; what is said of somebody last is what is said later."""
        name, route = ("left", suppression.address), self._broker.topology.suppressions
        try:
            await self._publish(name, suppression.encode(), route, TELL_PATIENCE_S)
        except NotKept as error:
            log.info("departure_waits", why=str(error))

    async def run(self) -> None:
        """Publish what waits, as long as we live; whoever hears of it takes it twice without harm."""
        trouble = Recurring(log, "receipts_wait", level="info")
        while True:
            await asyncio.sleep(AGAIN_S)
            for name, waiting in list(self._waiting.items()):
                try:
                    await self._broker.publish(*waiting)
                except (PublishRefused, PublishUnknown) as error:
                    trouble.note(error, count=len(self._waiting))
                    break
                trouble.clear()
                if self._waiting.get(name) is waiting:
                    del self._waiting[name]

    async def _publish(self, name: tuple[str, str], body: bytes, route: Route, patience_s: float) -> None:
        self._waiting.pop(name, None)
        try:
            async with asyncio.timeout(patience_s):
                await self._broker.publish(body, route)
        except (PublishRefused, PublishUnknown, TimeoutError) as error:
            if len(self._waiting) < MAX_WAITING:
                self._waiting[name] = (body, route)
            raise NotKept(str(error) or "the broker took too long") from error
