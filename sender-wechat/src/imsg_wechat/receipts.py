"""Publishes receipts for history and unfollows for the catalog; without the broker they wait in memory."""

import asyncio

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.suppressions import Suppression
from imsg_contract.topology import RECEIPT, Route
from imsg_contract.wire import Receipt
from imsg_runtime.logs import RecurringProblem, logger

RETRY_S = 1.0

UNFOLLOW_TIMEOUT_S = 0.4
"""How long a call of the webhook waits for the publication of an unfollow."""

MAX_WAITING = 10_000
"""The most publications that wait for the broker; each has some 300 bytes."""

log = logger(__name__)


class NotPublished(Exception):  # noqa: N818  it is tried again
    """The broker did not confirm a publication."""


class Receipts:
    """Publishes receipts and suppressions, and retries failures: WeChat repeats a receipt for some seconds only."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: dict[tuple[str, str], tuple[bytes, Route]] = {}

    async def publish(self, receipt: Receipt, timeout_s: float) -> None:
        """Publish a receipt. After NotPublished, `run` tries again until it succeeds."""
        route = self._broker.topology.new(RECEIPT)
        await self._publish((receipt.provider_id, receipt.address), receipt.encode(), route, timeout_s)

    async def publish_suppression(self, suppression: Suppression) -> None:
        """Publish an unfollow or return, now or later; for each tag only the last one waits."""
        name, route = ("left", suppression.address), self._broker.topology.suppressions
        try:
            await self._publish(name, suppression.encode(), route, UNFOLLOW_TIMEOUT_S)
        except NotPublished as error:
            log.info("unfollow_waits", why=str(error))

    async def run(self) -> None:
        """Publish waiting receipts and suppressions until cancelled; consumers ignore duplicates."""
        problem = RecurringProblem(log, "receipts_wait", level="info")
        while True:
            await asyncio.sleep(RETRY_S)
            for name, waiting in list(self._waiting.items()):
                try:
                    await self._broker.publish(*waiting)
                except (PublishRefused, PublishUnknown) as error:
                    problem.report(error, count=len(self._waiting))
                    break
                problem.clear()
                if self._waiting.get(name) is waiting:
                    del self._waiting[name]

    async def _publish(self, name: tuple[str, str], body: bytes, route: Route, timeout_s: float) -> None:
        self._waiting.pop(name, None)
        try:
            async with asyncio.timeout(timeout_s):
                await self._broker.publish(body, route)
        except (PublishRefused, PublishUnknown, TimeoutError) as error:
            if len(self._waiting) < MAX_WAITING:
                self._waiting[name] = (body, route)
            raise NotPublished(str(error) or "the broker took too long") from error
