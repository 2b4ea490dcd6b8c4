"""Two histories on one PostgreSQL: nothing lost, nothing doubled, no deadlock."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest
from prometheus_client import CollectorRegistry

from imsg_broker.port import Broker, Delivery, PublishRefused, PublishUnknown
from imsg_channels import METHODS
from imsg_contract.topology import DEAD, Topology
from imsg_contract.wire import Job, Status
from imsg_database.address import read_url
from imsg_history import writer
from imsg_history.database import Database, connect
from imsg_history.migrate import migrate
from imsg_history.writer import BatchWriter
from imsg_testing.brokers import depth_is, open_ready
from imsg_testing.history import NOW, job, make_delivery, outcome, receipt
from imsg_testing.postgres_roles import DividedPostgres, run_divided
from imsg_testing.servers import Rabbit
from imsg_testing.service import KEYS, Service
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.long

RETENTION = timedelta(days=90)
WITHIN_S = 120.0

STORIES = 1_500


@pytest.fixture(scope="module")
def server() -> Iterator[DividedPostgres]:
    """Run a PostgreSQL cut up as in production."""
    with run_divided() as opened:
        yield opened


@pytest.fixture
async def stores(server: DividedPostgres) -> AsyncIterator[Sequence[Database]]:
    """Open the same database as two processes do."""
    url = read_url(server.url_of_service("history"))
    await asyncio.to_thread(migrate, url, NOW)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connect(url)) for _ in range(2)]


@pytest.fixture
def own_rabbit_url() -> Iterator[str]:
    """Run a RabbitMQ of this test's own, since services use the names of production."""
    with Rabbit() as opened:
        yield opened.url


@pytest.fixture
def replicas(server: DividedPostgres, own_rabbit_url: str, tmp_path: Path) -> Iterator[Sequence[Service]]:
    """Start two histories as processes of their own."""
    settings = {**KEYS, "IMSG_BROKER_URL": own_rabbit_url, "IMSG_DATABASE_URL": server.url_of_service("history")}
    started = [Service("imsg_history", tmp_path, settings) for _ in range(2)]
    try:
        for service in started:
            service.start()
        yield started
    finally:
        for service in started:
            service.process.close()


def deadlocks(server: DividedPostgres) -> int:
    """Return how many deadlocks PostgreSQL has broken."""
    with psycopg.connect(server.admin_dsn) as connection:
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = 'imsg'").fetchone()
    assert row is not None
    return int(row[0])


async def test_recorders_of_the_same_messages_in_any_order_never_wait_in_a_circle(
    server: DividedPostgres, stores: Sequence[Database]
) -> None:
    jobs = [job(to=[f"{n}@example.com" for n in range(20)], at=NOW + timedelta(seconds=n)) for n in range(10)]
    sent = [outcome(job, Status.SENT, n, provider_id=f"{job.request}{n}") for job in jobs for n in range(20)]
    events = [make_delivery(job) for job in jobs]
    events += [make_delivery(result) for result in sent]
    events += [make_delivery(receipt(result, f"{result.n}@example.com")) for result in sent]
    events += [make_delivery(jobs[0], DEAD, reason="broke", queue="imsg.smtp.bulk")]
    order = random.Random(5)  # noqa: S311  the same orders at each run
    before = deadlocks(server)

    async def record(database: Database) -> None:
        recorder = BatchWriter(database, lambda: NOW, RETENTION, writer.WriterMetrics(CollectorRegistry()))
        for _ in range(6):
            batch: list[Delivery] = order.sample(events, k=len(events))
            for start in range(0, len(batch), 100):
                await recorder.write(batch[start : start + 100])

    await asyncio.gather(*(record(store) for store in stores for _ in range(2)))
    assert deadlocks(server) == before
    with psycopg.connect(server.url_of_service("history")) as connection:
        rows = connection.execute("SELECT status, count(*) FROM messages GROUP BY status").fetchall()
        assert connection.execute("SELECT count(*) FROM receipts").fetchone() == (0,)
        connection.execute("TRUNCATE requests, jobs, messages, attempts, dead")
    assert dict(rows) == {"delivered": 200}


async def test_of_two_replicas_under_load_one_is_killed_and_nothing_is_lost(
    server: DividedPostgres, replicas: Sequence[Service], own_rabbit_url: str
) -> None:
    before = deadlocks(server)
    told = [job(to=(f"user{n}@example.com",)) for n in range(STORIES)]
    async with open_ready(own_rabbit_url, Topology(methods=METHODS)) as broker:
        publishing = asyncio.create_task(_publish(broker, told))
        await eventually(lambda: _are_recorded(server, STORIES // 5), WITHIN_S)
        await eventually(lambda: _have_recorded(replicas), WITHIN_S)
        replicas[0].process.kill()
        await publishing
        await eventually(lambda: _are_delivered(server, STORIES), WITHIN_S)
        await depth_is(broker, broker.topology.history, 0, WITHIN_S)
        replicas[0].start()
    assert deadlocks(server) == before
    with psycopg.connect(server.url_of_service("history")) as connection:
        lines = connection.execute("SELECT request, count(*) FROM attempts GROUP BY request").fetchall()
        assert connection.execute("SELECT count(*) FROM receipts").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM dead").fetchone() == (0,)
    assert Counter(count for _, count in lines) == {2: STORIES}, "an attempt and a receipt each"


async def _publish(broker: Broker, told: Sequence[Job]) -> None:
    for start in range(0, len(told), 50):
        some = told[start : start + 50]
        sent = [outcome(sent_job, Status.SENT, provider_id=sent_job.request) for sent_job in some]
        reports = [receipt(result, sent_job.recipients[0].address) for result, sent_job in zip(sent, some, strict=True)]
        events = [make_delivery(event) for group in (reports, some, sent) for event in group]
        await asyncio.gather(*(eventually(partial(_is_kept, broker, event), WITHIN_S) for event in events))


async def _is_kept(broker: Broker, event: Delivery) -> bool:
    """Publish as services do: where it may be kept or not, the same bytes again."""
    try:
        await broker.publish(event.body, broker.topology.new(event.key))
    except (PublishRefused, PublishUnknown):
        return False
    return True


async def _are_recorded(server: DividedPostgres, count: int) -> bool:
    return await asyncio.to_thread(_count, server, "") >= count


async def _are_delivered(server: DividedPostgres, count: int) -> bool:
    return await asyncio.to_thread(_count, server, " WHERE status = 'delivered' AND username IS NOT NULL") == count


def _count(server: DividedPostgres, where: str) -> int:
    with psycopg.connect(server.url_of_service("history")) as connection:
        row = connection.execute(f"SELECT count(*) FROM messages{where}".encode()).fetchone()  # noqa: S608  ours
    assert row is not None
    return int(row[0])


async def _have_recorded(replicas: Sequence[Service]) -> bool:
    """Return whether each replica has recorded something."""
    return all([await asyncio.to_thread(_deliveries, replica) > 0 for replica in replicas])


def _deliveries(service: Service) -> float:
    """Read how many deliveries a replica has recorded."""
    answer = httpx.get(f"{service.url}/metrics", timeout=60).text
    matches = [line for line in answer.splitlines() if line.startswith("imsg_history_events_total ")]
    return float(matches[0].split()[1])
