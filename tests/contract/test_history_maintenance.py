"""Maintenance on a real broker and both databases: lost messages are published again, old rows removed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Table, func, select

from imsg_broker.port import Broker
from imsg_contract.topology import DEAD, Lane, Topology, job_key
from imsg_contract.wire import Change, Job, Status
from imsg_database.address import read_url
from imsg_history import maintenance, stuck, writer
from imsg_history.attachments import AttachmentKey, Attachments
from imsg_history.database import Database, connect
from imsg_history.maintenance import Maintenance
from imsg_history.stuck import REPEAT_TURN, StuckJobs
from imsg_history.tables import attachments, attempts, audit, dead, jobs, messages, receipts, requests
from imsg_history.writer import BatchWriter
from imsg_testing.brokers import arrivals, depth_is, nothing_arrives, open_ready
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, receipt

LOST_AFTER = timedelta(minutes=15)
RETENTION = timedelta(days=90)


@dataclass
class Clock:
    """A clock that the test moves."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        """Return the time."""
        return self.at


@dataclass
class Bench:
    """History's parts on a clock of the test's own."""

    broker: Broker
    database: Database
    clock: Clock = field(default_factory=Clock)
    servers_clock: Clock | None = None
    """The database's, where it is not the same."""

    def __post_init__(self) -> None:
        """Wire them."""
        self.registry = CollectorRegistry()
        self.keeper = BatchWriter(self.database, self.clock, RETENTION, writer.WriterMetrics(self.registry))
        stuck_metrics = stuck.StuckMetrics(self.registry)
        self.stuck_jobs = StuckJobs(self.broker, self.database, self.clock, LOST_AFTER, stuck_metrics)
        schedule = maintenance.Schedule(timedelta(seconds=60), RETENTION)
        metrics = maintenance.MaintenanceMetrics(self.registry)
        self.maintenance = Maintenance(
            self.stuck_jobs, self.database, self.clock, self._database_now, schedule, metrics
        )

    async def _database_now(self) -> datetime:
        return (self.servers_clock or self.clock)()

    async def record(self, *batch: Any) -> None:  # noqa: ANN401  messages
        """Record them."""
        await self.keeper.write([make_delivery(event) for event in batch])

    def oldest_age_s(self, method: str) -> float | None:
        """Return the metric of how long the channel's oldest message waits."""
        return self.registry.get_sample_value("imsg_queue_oldest_age_seconds", {"method": method})

    async def rows(self, table: Table) -> int:
        """Count a table's rows."""
        count = await self.database.read(lambda connection: connection.scalar(select(func.count()).select_from(table)))
        return int(count or 0)


@pytest.fixture
def topology(topology: Topology) -> Topology:
    """Names that no other test uses, and a step that is long."""
    return replace(topology, query_steps_s=(600,))


@pytest.fixture
async def bench(migrated_url: str, valkey_url: str, topology: Topology) -> AsyncIterator[Bench]:
    """Open both."""
    async with open_ready(valkey_url, topology) as broker, connect(read_url(migrated_url)) as database:
        yield Bench(broker, database)


@asynccontextmanager
async def consume_lane(bench: Bench, lane: Lane = Lane.NORMAL) -> AsyncIterator[Any]:
    """Consume a lane as its sender does."""
    async with bench.broker.consume(bench.broker.topology.queue("smtp", lane), 10) as deliveries:
        yield deliveries


async def test_of_a_further_leg_each_person_who_has_not_ended_is_published_again_alone(bench: Bench) -> None:
    """Their claims go by the number of each: in one job they would be sent again. None lives longer than as begun."""
    legs: dict[str, Any] = {"at": NOW, "lane": Lane.NORMAL, "leg": 2, "leg_of": "0" * 32}
    leg = job(to=("a@example.com", "b@example.com", "c@example.com"), **legs)
    for n in range(3):
        begun: dict[str, Any] = {"recipients": leg.recipients[n : n + 1], "chunk": n}
        times = {"released_at": NOW + timedelta(minutes=n), "expires_at": leg.expires_at + timedelta(minutes=n)}
        await bench.record(leg.model_copy(update=begun | times))
    await bench.record(outcome(leg, Status.SENT, n=1))
    bench.clock.at = NOW + LOST_AFTER + timedelta(seconds=90)
    assert await bench.stuck_jobs.republish() == 0, "the last of them is young"
    bench.clock.at += timedelta(minutes=1)
    assert await bench.stuck_jobs.republish() == 2
    async with consume_lane(bench) as deliveries:
        again = [Job.model_validate_json(arrival.body) for arrival in await arrivals(deliveries, 2)]
    assert [
        (queued_job.request, queued_job.chunk, queued_job.recipients, queued_job.expires_at) for queued_job in again
    ] == [(leg.request, n, leg.recipients[n : n + 1], leg.expires_at + timedelta(minutes=n)) for n in (0, 2)]


@on_both_databases
async def test_a_job_without_any_outcome_is_published_again_as_it_was(bench: Bench) -> None:
    lost, young, settled = job(at=NOW), job(at=NOW + LOST_AFTER), job(at=NOW)
    await bench.record(lost, young, settled, outcome(settled, Status.UNCERTAIN))
    bench.clock.at = NOW + LOST_AFTER + timedelta(minutes=1)
    assert await bench.stuck_jobs.republish() == 1
    async with consume_lane(bench) as deliveries:
        (delivery,) = await arrivals(deliveries, 1)
        assert delivery.body == make_delivery(lost).body
        await bench.broker.ack(delivery)
    await depth_is(bench.broker, bench.broker.topology.history, 0)


async def test_a_bulk_job_with_one_recipient_untold_is_published_again(bench: Bench) -> None:
    lost = job(at=NOW, to=("a@example.com", "b@example.com"))
    await bench.record(lost, outcome(lost, Status.SENT, 0))
    bench.clock.at = NOW + 2 * LOST_AFTER
    assert await bench.stuck_jobs.republish() == 1
    async with consume_lane(bench, Lane.BULK) as deliveries:
        (delivery,) = await arrivals(deliveries, 1)
        assert Job.model_validate_json(delivery.body).request == lost.request


async def test_what_was_put_off_and_is_nowhere_comes_again_above_every_copy(bench: Bench) -> None:
    lost, newer = job(at=NOW), job(at=NOW + LOST_AFTER)
    await bench.record(lost, *(outcome(lost, Status.RETRYING, attempt=attempt) for attempt in (1, 2)))
    await bench.record(newer, outcome(newer, Status.RETRYING))
    bench.clock.at = NOW + LOST_AFTER + timedelta(minutes=1)
    assert await bench.stuck_jobs.republish() == 1
    async with consume_lane(bench) as deliveries:
        (delivery,) = await arrivals(deliveries, 1)
        again = Job.model_validate_json(delivery.body)
        assert again == lost.model_copy(update={"fencing_token": REPEAT_TURN, "attempt": 3})


async def test_what_waits_in_its_step_is_left_alone(bench: Bench) -> None:
    waiting = job(at=NOW)
    await bench.record(waiting, outcome(waiting, Status.RETRYING))
    topology = bench.broker.topology
    queue = topology.queue("smtp", Lane.NORMAL)
    await bench.broker.publish(make_delivery(waiting).body, topology.direct(queue))
    async with consume_lane(bench) as deliveries:
        (delivery,) = await arrivals(deliveries, 1)
        await bench.broker.delay(queue, make_delivery(waiting).body, 600)
        await bench.broker.ack(delivery)
    bench.clock.at = NOW + timedelta(hours=3)
    assert await bench.stuck_jobs.republish() == 0
    bench.clock.at = NOW + timedelta(hours=73)
    assert await bench.stuck_jobs.republish() == 1, "the longest life is over: whatever waits there is not its copy"


async def test_it_is_published_again_only_after_ever_longer_waits(bench: Bench) -> None:
    await bench.record(job(at=NOW))
    published = []
    for minutes in (16, 20, 32, 60, 95, 120):
        bench.clock.at = NOW + timedelta(minutes=minutes)
        published.append(await bench.stuck_jobs.republish())
        async with consume_lane(bench) as deliveries:
            if published[-1]:
                await bench.broker.ack((await arrivals(deliveries, 1))[0])
    assert published == [1, 0, 0, 0, 1, 0]


async def test_what_may_still_be_in_its_lane_is_left_alone(bench: Bench) -> None:
    waiting = [job(at=NOW), job(at=NOW)]
    await bench.record(*waiting)
    for waiting_job in waiting:
        await bench.broker.publish(
            make_delivery(waiting_job).body, bench.broker.topology.new(job_key("smtp", Lane.NORMAL))
        )
    bench.clock.at = NOW + timedelta(hours=3)
    assert await bench.stuck_jobs.republish() == 0


async def test_what_a_lane_has_passed_is_lost_though_others_wait(bench: Bench) -> None:
    lost, later = job(at=NOW), job(at=NOW + timedelta(hours=1))
    newest = job(at=NOW + timedelta(hours=2))
    await bench.record(lost, later, newest, outcome(later, Status.SENT))
    await bench.broker.publish(
        make_delivery(newest).body, bench.broker.topology.direct(bench.broker.topology.queue("smtp", Lane.NORMAL))
    )
    bench.clock.at = NOW + timedelta(hours=3)
    assert await bench.stuck_jobs.republish() == 1


async def test_no_message_counts_as_stuck_while_history_is_behind(bench: Bench) -> None:
    await bench.record(job(at=NOW))
    said = make_delivery(outcome(job(at=NOW), Status.SENT)).body
    topology = bench.broker.topology
    await asyncio.gather(*(bench.broker.publish(said, topology.new("outcome")) for _ in range(1_100)))
    bench.clock.at = NOW + timedelta(hours=3)
    assert await bench.stuck_jobs.republish() == 0


@on_both_databases
async def test_two_processes_at_once_publish_once(bench: Bench) -> None:
    await bench.record(*(job(at=NOW + timedelta(milliseconds=i)) for i in range(20)))
    bench.clock.at = NOW + timedelta(hours=1)
    swept = 0, 0
    async with asyncio.timeout(60):
        while not any(swept):  # a broker that can't tell how much waits is asked again
            swept = await asyncio.gather(bench.stuck_jobs.republish(), bench.stuck_jobs.republish())
    assert sum(swept) == 20
    async with consume_lane(bench) as deliveries:
        for delivery in await arrivals(deliveries, 10):
            await bench.broker.ack(delivery)
        for delivery in await arrivals(deliveries, 10):
            await bench.broker.ack(delivery)
        assert await nothing_arrives(deliveries, 0.2)


@on_both_databases
async def test_what_is_past_its_time_is_removed_and_nothing_else(bench: Bench) -> None:
    old, new = job(at=NOW), job(at=NOW + RETENTION)
    unmatched = receipt(outcome(new, Status.SENT, provider_id="nobody's"), "x@example.com")
    place = AttachmentKey(old.request, "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")
    await Attachments(bench.database).put(place, b"foo", old.expires_at)
    await bench.record(old, outcome(old, Status.SENT), unmatched)
    await bench.keeper.write([make_delivery(b"{", DEAD, reason="unreadable")])
    await bench.record(Change(actor="admin", action="modify", target="张三", at=NOW))

    bench.clock.at = NOW + timedelta(days=2)
    await bench.maintenance.delete_old()
    assert [await bench.rows(table) for table in (receipts, attachments, jobs)] == [1, 1, 1]

    bench.clock.at = NOW + timedelta(days=9)
    await bench.maintenance.delete_old()
    assert [await bench.rows(table) for table in (receipts, attachments, jobs, requests)] == [0, 0, 0, 1]

    bench.clock.at = NOW + RETENTION + timedelta(hours=1)
    await bench.record(new)
    await bench.maintenance.delete_old()
    assert [await bench.rows(table) for table in (requests, messages, attempts)] == [1, 1, 0]
    assert [await bench.rows(table) for table in (dead, audit, jobs)] == [0, 1, 1]

    bench.clock.at = NOW + timedelta(days=366)
    await bench.maintenance.delete_old()
    assert await bench.rows(audit) == 0


async def test_the_metric_holds_how_long_a_channels_oldest_message_waits(bench: Bench) -> None:
    first, second, retried = (job(at=NOW + timedelta(seconds=n)) for n in (0, 30, -900))
    await bench.record(first, second, retried, outcome(retried, Status.RETRYING))
    bench.clock.at = NOW + timedelta(minutes=1)
    await bench.maintenance.run_once()
    assert bench.oldest_age_s("smtp") == pytest.approx(60)

    await bench.record(outcome(first, Status.SENT))
    await bench.maintenance.run_once()
    assert bench.oldest_age_s("smtp") == pytest.approx(30)

    await bench.record(outcome(second, Status.FAILED))
    await bench.maintenance.run_once()
    assert bench.oldest_age_s("smtp") == 0


@pytest.mark.parametrize("which", ["clock", "servers_clock"])
async def test_a_clock_that_runs_ahead_removes_nothing(bench: Bench, which: str) -> None:
    accepted_job = job(at=NOW)
    await bench.record(accepted_job, outcome(accepted_job, Status.SENT))
    await bench.keeper.write([make_delivery(b"{", DEAD, reason="unreadable")])
    bench.servers_clock = Clock()
    setattr(bench, which, Clock(NOW + 4 * RETENTION))
    bench.maintenance = replace(bench.maintenance, now=bench.clock)
    await bench.maintenance.delete_old()
    assert [await bench.rows(table) for table in (requests, messages, attempts, dead)] == [1, 1, 1, 1]
    ahead = (4 * RETENTION).total_seconds() * (1 if which == "clock" else -1)
    assert bench.registry.get_sample_value("imsg_history_clock_ahead_seconds") == ahead


async def test_a_job_that_is_not_settled_is_kept_to_be_published_again(bench: Bench) -> None:
    accepted_job = job(at=NOW)
    await bench.record(accepted_job, outcome(accepted_job, Status.RETRYING))
    bench.clock.at = NOW + timedelta(days=10)
    await bench.maintenance.delete_old()
    assert await bench.rows(jobs) == 1
