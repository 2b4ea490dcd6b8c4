"""History between a real broker and a real database, with either away."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, SecretStr

from imsg_broker.port import Broker, Delivery, PublishRefused, PublishUnknown
from imsg_contract.topology import Topology
from imsg_contract.wire import Job, Status
from imsg_database.address import read_url
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history import consumer, writer
from imsg_history.consumer import HistoryConsumer
from imsg_history.database import Database, connect
from imsg_history.main import Settings, app
from imsg_history.migrate import migrate
from imsg_history.queries import V1MessagesQuery
from imsg_history.query import MessageQuery
from imsg_history.writer import BatchWriter
from imsg_testing.brokers import depth_is, open_ready
from imsg_testing.callers import user
from imsg_testing.history import job, make_delivery, outcome, receipt
from imsg_testing.servers import Postgres
from imsg_testing.waiting import eventually
from imsg_web import service_client

KEY = (SecretStr("key"),)
ADMIN = user("admin", role="admin")
RETENTION = timedelta(days=90)
WITHIN_S = 60.0


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Start a server of this test's own, to be killed."""
    with Postgres() as server:
        yield server


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Database]:
    """Open a migrated database."""
    await asyncio.to_thread(migrate, read_url(url), now())
    async with connect(read_url(url)) as database:
        yield database


@asynccontextmanager
async def recording(broker: Broker, database: Database) -> AsyncIterator[asyncio.Event]:
    """Record for as long as the context lasts; yields the event that ends it, and waits until it has ended."""
    stopping, registry = asyncio.Event(), CollectorRegistry()
    keeper = BatchWriter(database, now, RETENTION, writer.WriterMetrics(registry))
    running = asyncio.create_task(HistoryConsumer(broker, keeper, consumer.ConsumerMetrics(registry)).run(stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        async with asyncio.timeout(WITHIN_S):
            await running


async def publish(broker: Broker, *published: BaseModel) -> None:
    """Publish as the gateway and the senders do: where it may be kept or not, the same bytes again."""

    async def is_kept(delivery: Delivery) -> bool:
        try:
            await broker.publish(delivery.body, broker.topology.new(delivery.key))
        except (PublishRefused, PublishUnknown):
            return False
        return True

    await asyncio.gather(*(eventually(partial(is_kept, make_delivery(body)), WITHIN_S) for body in published))


async def all_are(database: Database, status: Status, count: int) -> None:
    """Wait until so many messages have a status."""

    async def holds() -> bool:
        try:
            page = await MessageQuery(database).find_v1(
                V1MessagesQuery.model_validate({"status": status.value, "limit": "500"}), ADMIN
            )
        except DatabaseUnavailable:
            return False
        return len(page.rows) == count

    await eventually(holds, WITHIN_S)


def stories(count: int) -> Sequence[tuple[Job, BaseModel, BaseModel]]:
    """Make so many jobs, each with its outcome and receipt."""
    made = []
    for i in range(count):
        accepted_job = job(to=(f"user{i}@example.com",))
        sent = outcome(accepted_job, Status.SENT, provider_id=f"{accepted_job.request}")
        made.append((accepted_job, sent, receipt(sent, f"user{i}@example.com")))
    return made


async def test_what_the_broker_brings_is_recorded_and_acked(
    broker_url: str, database_url: str, topology: Topology
) -> None:
    async with open_ready(broker_url, topology) as broker, open_store(database_url) as database:
        told = stories(100)
        async with recording(broker, database), recording(broker, database):
            await publish(broker, *(event for story in told for event in reversed(story[1:])))
            await publish(broker, *(story[0] for story in told))
            await all_are(database, Status.DELIVERED, 100)
            await depth_is(broker, topology.history, 0)


async def test_a_database_killed_loses_nothing(broker_url: str, own_postgres: Postgres, topology: Topology) -> None:
    url = own_postgres.create_database("history")
    async with open_ready(broker_url, topology) as broker, open_store(url) as database, recording(broker, database):
        told = stories(60)
        await publish(broker, *(part for story in told[:30] for part in story))
        await all_are(database, Status.DELIVERED, 30)
        own_postgres.kill()
        await publish(broker, *(part for story in told[30:] for part in story))
        with pytest.raises(DatabaseUnavailable):
            await MessageQuery(database).find_v1(V1MessagesQuery.model_validate({}), ADMIN)
        own_postgres.start()
        await all_are(database, Status.DELIVERED, 60)
        await depth_is(broker, topology.history, 0)


@pytest.mark.usefixtures("service_bounds")
async def test_a_database_that_does_not_answer_is_away_in_time_and_comes_back(
    own_postgres: Postgres, valkey_url: str, topology: Topology
) -> None:
    url = own_postgres.create_database("history")
    async with open_ready(valkey_url, topology) as broker, open_store(url) as database, recording(broker, database):
        told = stories(20)
        await publish(broker, *(part for story in told[:10] for part in story))
        await all_are(database, Status.DELIVERED, 10)
        with own_postgres.paused():
            await publish(broker, *(part for story in told[10:] for part in story))
            with pytest.raises(DatabaseUnavailable):
                async with asyncio.timeout(WITHIN_S):
                    await MessageQuery(database).find_v1(V1MessagesQuery.model_validate({}), ADMIN)
        await all_are(database, Status.DELIVERED, 20)


async def test_a_recorder_stopped_while_the_database_is_away_requeues_its_messages(
    own_postgres: Postgres, valkey_url: str, topology: Topology
) -> None:
    url = own_postgres.create_database("history")
    async with open_ready(valkey_url, topology) as broker:
        async with open_store(url) as database, recording(broker, database) as stopping:
            own_postgres.kill()
            await publish(broker, *(story[0] for story in stories(5)))
            stopping.set()
        await depth_is(broker, topology.history, 5)
        own_postgres.start()
        async with open_store(url) as database, recording(broker, database):
            await all_are(database, Status.QUEUED, 5)


async def test_with_postgresql_away_the_service_starts_answers_unavailable_and_recovers(
    own_postgres: Postgres, valkey_url: str
) -> None:
    url = own_postgres.create_database("history")
    own_postgres.kill()
    made = app(Settings(database_url=url, broker_url=valkey_url, service_key=KEY))
    async with made.running(), service_client.connect("http://history", KEY, {"history": made}) as gateway:
        answer = await gateway.call("GET", "/api/query", caller=ADMIN)
        assert (answer.status_code, answer.json()["errorCode"], answer.json()["reason"]) == (503, 10012, "unavailable")
        assert "retry-after" in answer.headers
        assert "database" in made.unmet()
        own_postgres.start()

        async def is_ready() -> bool:
            return made.unmet() == []

        await eventually(is_ready, WITHIN_S)
        assert (await gateway.call("GET", "/api/query", caller=ADMIN)).status_code == 200
