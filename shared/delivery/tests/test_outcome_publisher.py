"""Published outcomes: at once or in batches, and a failed publish ends every wait."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from random import Random
from typing import cast

import pytest

from imsg_broker.port import Broker, Delivery
from imsg_channels import METHODS
from imsg_contract.topology import Route, Topology
from imsg_contract.wire import Outcome, Outcomes, Status
from imsg_delivery.outcome_publisher import MAX_BATCH, OutcomePublisher


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


class Kept:
    """A broker that keeps everything at once; `batches` are the numbers of outcomes that travelled together."""

    def __init__(self) -> None:
        self.topology = Topology(methods=METHODS)
        self.batches: list[int] = []

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None = None) -> None:
        """Record the size of a batch."""
        del route, headers
        self.batches.append(len(Outcomes.model_validate_json(body).outcomes))


async def test_a_first_outcome_does_not_wait_and_close_ones_are_published_together() -> None:
    broker = Kept()
    publisher = OutcomePublisher(cast("Broker", broker), Random(1), many=100, apart_s=60)  # noqa: S311  jitter
    assert await publisher.publish([_outcome()], _delivery()) is True
    assert broker.batches == [1]
    more = [asyncio.create_task(publisher.publish([_outcome()], _delivery())) for _ in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    more += [asyncio.create_task(publisher.publish([_outcome()], _delivery())) for _ in range(3)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert broker.batches == [1]
    publisher._is_time.set()  # as its timer does
    assert await asyncio.gather(*more) == [True] * 5
    assert broker.batches == [1, 5]


async def test_what_waits_is_published_in_time() -> None:
    broker = Kept()
    publisher = OutcomePublisher(cast("Broker", broker), Random(1), many=100, apart_s=0.05)  # noqa: S311  jitter
    async with asyncio.timeout(60):
        for _ in range(3):
            assert await publisher.publish([_outcome()], _delivery()) is True
    assert broker.batches == [1, 1, 1]


async def test_a_whole_batch_waits_no_longer() -> None:
    broker = Kept()
    publisher = OutcomePublisher(cast("Broker", broker), Random(1), many=100, apart_s=60)  # noqa: S311  jitter
    many = [_outcome()] * MAX_BATCH
    told = [publisher.publish(many, _delivery()) for _ in range(3)]
    assert await asyncio.gather(*told) == [True] * 3
    assert broker.batches == [MAX_BATCH] * 3


async def test_many_deliveries_wait_for_no_others_and_few_do() -> None:
    broker = Kept()
    publisher = OutcomePublisher(cast("Broker", broker), Random(1), many=3, apart_s=60)  # noqa: S311  jitter
    assert await publisher.publish([_outcome()], _delivery()) is True
    few = [asyncio.create_task(publisher.publish([_outcome()], _delivery())) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert broker.batches == [1]
    few.append(asyncio.create_task(publisher.publish([_outcome()] * 2, _delivery())))
    async with asyncio.timeout(60):
        assert await asyncio.gather(*few) == [True] * 3
    assert broker.batches == [1, 4]


def _outcome() -> Outcome:
    return Outcome(request="0" * 32, n=0, attempt=1, status=Status.SENT, at=datetime.now(UTC))


def _delivery() -> Delivery:
    return Delivery(b"", "job.smtp.normal", "imsg.smtp.normal", {}, redelivered=False, handle=None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_failed_publish_ends_every_wait() -> None:
    """Neither who shares the batch nor who waits for the next; and the next report is kept."""
    broker = Broken()
    publisher = OutcomePublisher(cast("Broker", broker), Random(1), many=100)  # noqa: S311  jitter
    delivery, outcome = _delivery(), _outcome()
    first = asyncio.create_task(publisher.publish([outcome], delivery))
    async with asyncio.timeout(60):
        await broker.begun.wait()  # its batch is on its way: the next waits for it to end
        second = asyncio.create_task(publisher.publish([outcome], delivery))
        await asyncio.sleep(0)
        broker.go_on.set()
        assert list(await asyncio.gather(first, second)) == [False, False]
        assert await publisher.publish([outcome], delivery) is True
