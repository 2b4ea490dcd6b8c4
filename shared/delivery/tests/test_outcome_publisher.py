"""What a worker tells: nobody waits for ever for a report that broke."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import cast

import pytest

from imsg_broker.port import Broker, Delivery
from imsg_channels import METHODS
from imsg_contract.topology import Route, Topology
from imsg_contract.wire import Outcome, Status
from imsg_delivery.outcome_publisher import OutcomePublisher


class Broken:
    """A broker with a bug in it: the first publish raises what no broker may."""

    def __init__(self) -> None:
        self.topology = Topology(methods=METHODS)
        self.published = 0
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None = None) -> None:
        """Publish, but for the first time."""
        del body, route, headers
        self.begun.set()
        await self.go_on.wait()
        self.published += 1
        if self.published == 1:
            raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_nobody_waits_for_ever_for_a_report_that_broke() -> None:
    """Neither who shares the batch nor who waits for the next; and the next report is kept."""
    broker = Broken()
    publisher = OutcomePublisher(cast("Broker", broker), Random(1))  # noqa: S311  jitter
    delivery = Delivery(b"", "job.smtp.normal", "imsg.smtp.normal", {}, redelivered=False, handle=None)
    outcome = Outcome(request="0" * 32, n=0, attempt=1, status=Status.SENT, at=datetime.now(UTC))
    first = asyncio.create_task(publisher.publish([outcome], delivery))
    async with asyncio.timeout(5):
        await broker.begun.wait()  # its batch is on its way: the next waits for it to end
        second = asyncio.create_task(publisher.publish([outcome], delivery))
        await asyncio.sleep(0)
        broker.go_on.set()
        assert list(await asyncio.gather(first, second)) == [False, False]
        assert await publisher.publish([outcome], delivery) is True
