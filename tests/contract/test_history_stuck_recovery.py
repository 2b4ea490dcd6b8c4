"""History publishes again what a broker lost after confirming it, and a real worker sends it once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from imsg_broker.port import Broker
from imsg_contract.topology import Lane, Topology
from imsg_contract.wire import Job
from imsg_database.address import read_url
from imsg_history import consumer, stuck, writer
from imsg_history.consumer import HistoryConsumer
from imsg_history.database import Database, connect
from imsg_history.migrate import migrate
from imsg_history.queries import V1MessagesQuery
from imsg_history.query import MessageQuery
from imsg_history.stuck import StuckJobs
from imsg_history.writer import BatchWriter
from imsg_testing.brokers import depth_is, open_ready, remove_queues
from imsg_testing.callers import user
from imsg_testing.history import request_id
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import ScriptedProvider, accept, job, worker_at

ADMIN = user("admin", role="admin")
LOST_AFTER = timedelta(minutes=15)
WITHIN_S = 60.0


@pytest.fixture
def topology(topology: Topology) -> Topology:
    """Return a topology whose delays are longer than a test."""
    return Topology(topology.prefix, methods=("smtp",), steps_s=(300, 600))


@pytest.fixture
async def broker(broker_url: str, topology: Topology) -> AsyncIterator[Broker]:
    """Open a broker in which what is delayed stays so."""
    async with open_ready(broker_url, topology) as broker:
        yield broker


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Open a migrated database."""
    url = read_url(f"sqlite:///{tmp_path}/history.db")
    await asyncio.to_thread(migrate, url, datetime.now(UTC))
    async with connect(url) as opened:
        yield opened


@asynccontextmanager
async def recording(broker: Broker, database: Database) -> AsyncIterator[None]:
    """Record for as long as the context lasts."""
    stopping, registry = asyncio.Event(), CollectorRegistry()
    keeper = BatchWriter(database, lambda: datetime.now(UTC), timedelta(days=90), writer.WriterMetrics(registry))
    running = asyncio.create_task(HistoryConsumer(broker, keeper, consumer.ConsumerMetrics(registry)).run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await running


def make_search(broker: Broker, database: Database) -> StuckJobs:
    """Return the search for lost jobs, with a clock twenty minutes ahead."""
    later = timedelta(minutes=20)
    return StuckJobs(
        broker, database, lambda: datetime.now(UTC) + later, LOST_AFTER, stuck.StuckMetrics(CollectorRegistry())
    )


async def republish(broker: Broker, database: Database) -> int:
    """Publish lost jobs again, once the broker no longer counts what it has lost; return their number."""
    search, counts = make_search(broker, database), list[int]()

    async def is_published() -> bool:
        counts[:] = [await search.republish()]
        return counts[0] > 0

    await eventually(is_published, WITHIN_S)
    return counts[0]


async def all_are(database: Database, of: Job, status: str) -> None:
    """Wait until every message of a job has a status."""

    async def holds() -> bool:
        page = await MessageQuery(database).find_v1(
            V1MessagesQuery.model_validate({"id": of.request, "limit": "500"}), ADMIN
        )
        return [message["status"] for message in page.rows] == [status] * len(of.recipients)

    await eventually(holds, WITHIN_S)


@pytest.mark.parametrize("count", [1, 120])
async def test_a_copy_that_the_broker_lost_is_sent_once_and_stays_dead_when_it_turns_up(  # noqa: PLR0917  fixtures
    broker: Broker, broker_url: str, redis_url: str, provider: ScriptedProvider, database: Database, count: int
) -> None:
    new = job(count, request=request_id())
    for n in range(count):
        provider.answer(n, {"result": "again"})
    queue = broker.topology.queue("smtp", new.lane)
    async with recording(broker, database), worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await all_are(database, new, "retrying")
        await depth_is(broker, queue, 0)
        assert await make_search(broker, database).republish() == 0, "its copies wait in their step"

        await _lose(broker_url, queue)
        assert await republish(broker, database) == 1
        await all_are(database, new, "sent")

        found_again = new.model_copy(update={"fencing_token": 1, "attempt": 2})
        await broker.publish(found_again.encode(), broker.topology.direct(queue))
        await depth_is(broker, queue, 0, WITHIN_S)
    assert provider.count(new.request) == dict.fromkeys(range(count), 1)


async def test_a_job_that_the_broker_lost_before_its_delivery_is_sent_once(
    broker: Broker, redis_url: str, provider: ScriptedProvider, database: Database
) -> None:
    new = job(request=request_id())
    queue = broker.topology.queue("smtp", Lane.NORMAL)
    async with recording(broker, database):
        await accept(broker, new)
        await all_are(database, new, "queued")
        async with broker.consume(queue, 1) as deliveries:
            await broker.ack(await anext(deliveries))
        await depth_is(broker, queue, 0)
        assert await republish(broker, database) == 1
        async with worker_at(broker, redis_url, provider.port):
            await all_are(database, new, "sent")
    assert provider.count(new.request) == {0: 1}


async def _lose(broker_url: str, queue: str) -> None:
    """Empty the retry queues of a queue, as a broker that lost them."""
    await remove_queues(broker_url, f"{queue}.retry*")
