"""A group of singles is sent together: each once, and acked, with the outcomes of all in few messages."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from imsg_broker.port import Broker, Delivery
from imsg_contract.results import Result, Sent
from imsg_contract.topology import CANCELS, CANCELS_COMPLETE, OUTCOME, Lane, Topology
from imsg_contract.wire import Job, Outcomes, Recipient
from imsg_delivery.claims.settled import COMPACT_AFTER_S
from imsg_delivery.claims.store import ChunkRecord, Claims
from imsg_delivery.disposition import Disposition
from imsg_delivery.groups import Groups
from imsg_delivery.lane_context import LaneContext
from imsg_delivery.metrics import Metrics
from imsg_delivery.outage import OutageGuard
from imsg_delivery.outcome_publisher import OutcomePublisher
from imsg_delivery.pause import PauseSwitch
from imsg_limits.caps import Caps
from imsg_limits.lag_throttle import LagThrottle
from imsg_people.lookups import RecipientLookups
from imsg_people.tombstones import Digests, Tombstone, Tombstones
from imsg_runtime.redis import Redis, connect
from imsg_testing.brokers import depth_is, open_ready
from imsg_testing.servers import Valkey
from imsg_testing.worker_harness import TERMS, accept, job


class Counting:
    """A channel that counts its recipients, and raises for a chosen one."""

    method = "smtp"
    terms = TERMS

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.poison = ""
        self.before_each: Callable[[], Awaitable[None]] | None = None

    async def prepare(self, job: Job) -> str:
        """Prepare nothing."""
        return job.name

    async def deliver(self, job: Job, prepared: str, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Send."""
        assert prepared == job.name
        if job.request == self.poison:
            raise ZeroDivisionError
        if self.before_each is not None:
            await self.before_each()
        self.sent += [job.request for _ in recipients]
        return {recipient.n: Sent("trial", f"{job.request}-{recipient.n}") for recipient in recipients}


class Bed:
    """A lane of a worker, without its loop."""

    def __init__(self, broker: Broker, redis: Redis) -> None:
        self.broker, self.channel, self.registry = broker, Counting(), CollectorRegistry()
        self.claims = Claims(redis)
        self.groups = Groups[str]("bed:", LagThrottle(time.monotonic, 4))
        self.queue = broker.topology.queue("smtp", Lane.NORMAL)
        self.lane = LaneContext(
            lane=Lane.NORMAL,
            channel=self.channel,
            templates=self.channel,
            broker=broker,
            publisher=OutcomePublisher(broker, Random(1), many=100, apart_s=0.5),  # noqa: S311  jitter
            claims=self.claims,
            lookups=RecipientLookups(None, None),
            caps=Caps(redis, str),
            pause=PauseSwitch(redis, self.claims, "smtp", time.monotonic),
            metrics=Metrics(self.registry, "smtp"),
            queue=self.queue,
            above=(Lane.PRIORITY,),
            shares=[asyncio.Semaphore(32)],
            outage=OutageGuard(lambda: None, time.monotonic),
            lag_throttle=None,
            waiting=Counter(),
            places=asyncio.Semaphore(32),
            steps_s=broker.topology.steps_s,
            waits_s=broker.topology.waits_s,
            random=Random(1),  # noqa: S311  jitter
            ending=(),
            clock=time.monotonic,
        )

    async def carry_out(self, jobs: Sequence[Job], deliveries: AsyncIterator[Delivery]) -> list[Disposition]:
        """Deliver these jobs, which wait in the queue in this order, as one group."""
        group = [(job.model_copy(update={"chunk": 0}), await anext(deliveries)) for job in jobs]
        endings = await self.groups.deliver(self.lane, group)
        return [endings[delivery] for _, delivery in group]

    async def heard(self, messages: int) -> list[Outcomes]:
        """Return the messages for history beside the jobs, once there are `count`."""
        async with self.broker.consume(self.broker.topology.history, 200) as deliveries, asyncio.timeout(60):
            all_of_them = [await anext(deliveries) for _ in range(messages)]
        return [Outcomes.model_validate_json(delivery.body) for delivery in all_of_them if delivery.key == OUTCOME]

    async def heard_of(self, outcomes: int) -> list[Outcomes]:
        """Return the messages for history beside the jobs, once they have `count` outcomes."""
        told: list[Outcomes] = []
        async with self.broker.consume(self.broker.topology.history, 200) as deliveries, asyncio.timeout(60):
            while sum(len(batch.outcomes) for batch in told) < outcomes:
                if (delivery := await anext(deliveries)).key == OUTCOME:
                    told.append(Outcomes.model_validate_json(delivery.body))
        return told


@pytest.fixture
async def bed(valkey_url: str) -> AsyncIterator[Bed]:
    """Make a bed on a broker of its own."""
    topology = Topology(prefix=f"group{secrets.token_hex(4)}", methods=("smtp",), steps_s=(1, 2, 4))
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_ready(valkey_url, topology))
        redis = await stack.enter_async_context(connect(valkey_url))
        await redis.call("HSET", CANCELS, CANCELS_COMPLETE, 1)
        yield Bed(broker, redis)


async def test_a_groups_outcomes_are_published_in_few_messages_and_each_job_is_acked(bed: Bed) -> None:
    jobs = [job() for _ in range(32)]
    for queued_job in jobs:
        await accept(bed.broker, queued_job)
    async with bed.broker.consume(bed.queue, 32) as deliveries:
        assert await bed.carry_out(jobs, deliveries) == [Disposition.DONE] * 32
    assert sorted(bed.channel.sent) == sorted(job.request for job in jobs)
    told = await bed.heard_of(32)
    assert len(told) <= 8  # one, where nothing else takes the processor
    assert {outcome.request for batch in told for outcome in batch.outcomes} == {job.request for job in jobs}
    await depth_is(bed.broker, bed.queue, 0)


async def test_the_metric_holds_how_long_a_message_took_from_its_acceptance(bed: Bed) -> None:
    old = job().model_copy(update={"accepted_at": datetime.now(UTC) - timedelta(hours=2)})
    await accept(bed.broker, old)
    async with bed.broker.consume(bed.queue, 32) as deliveries:
        await bed.carry_out([old], deliveries)
    value = bed.registry.get_sample_value
    assert value("imsg_accept_to_sent_seconds_count", {"method": "smtp"}) == 1
    assert value("imsg_accept_to_sent_seconds_sum", {"method": "smtp"}) == pytest.approx(7_200, abs=120)


async def test_each_line_about_a_message_names_its_key(bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """Of three in one group only one was sent by a key."""
    jobs = [job(), job().model_copy(update={"key": "library"}), job()]
    bed.channel.poison = jobs[1].request
    for queued_job in jobs:
        await accept(bed.broker, queued_job)
    async with bed.broker.consume(bed.queue, 3) as deliveries:
        await bed.carry_out(jobs, deliveries)
    lines = "".join(capsys.readouterr()).splitlines()
    for event in ("channel_broke", "delivered"):
        (named,) = (line for line in lines if event in line and jobs[1].request in line)
        assert "library" in named
    assert not any("library" in line for line in lines for other in (jobs[0], jobs[2]) if other.request in line)


async def test_a_broken_or_foreign_delivery_delays_no_other_of_its_group(bed: Bed) -> None:
    healthy, poison, busy = jobs = [job() for _ in range(3)]
    bed.channel.poison = poison.request
    elsewhere = ChunkRecord(busy.model_copy(update={"chunk": 0}), "another")
    await bed.claims.advance(elsewhere, [], [0])
    for queued_job in jobs:
        await accept(bed.broker, queued_job)
    async with bed.broker.consume(bed.queue, 3) as deliveries:
        assert await bed.carry_out(jobs, deliveries) == [Disposition.DONE] * 3
        assert bed.channel.sent == [healthy.request]
        async with asyncio.timeout(60):  # both come again: one for its next attempt, one as it is
            again = [Job.model_validate_json((await anext(deliveries)).body) for _ in range(2)]
    assert {queued_job.request: (queued_job.attempt, queued_job.fencing_token) for queued_job in again} == {
        poison.request: (2, 1),
        busy.request: (1, 0),
    }


async def test_a_group_that_lost_its_broker_is_handed_back_with_nothing_sent(bed: Bed) -> None:
    jobs = [job(), job()]
    for queued_job in jobs:
        await accept(bed.broker, queued_job)
    async with bed.broker.consume(bed.queue, 2) as deliveries:
        group = [(job.model_copy(update={"chunk": 0}), await anext(deliveries)) for job in jobs]
    endings = await bed.groups.deliver(bed.lane, group)
    assert list(endings.values()) == [Disposition.REQUEUED] * 2
    assert bed.channel.sent == []
    await depth_is(bed.broker, bed.queue, 2)


async def test_who_was_erased_meanwhile_is_sent_nothing_and_the_others_of_the_group_are(
    bed: Bed, valkey_url: str
) -> None:
    erased, *others = jobs = [
        job(recipients=(Recipient(n=0, to=name, address=name),)) for name in ("gone@example.com", "a@b.cn", "c@d.cn")
    ]
    async with connect(valkey_url) as redis:
        stones = Tombstones(redis, Digests([SecretStr("tombs of a group")]))
        await stones.write([Tombstone("1", stones.digests.of("gone@example.com"), datetime.now(UTC))])
        bed.lane = replace(bed.lane, lookups=RecipientLookups(stones, None))
        for queued_job in jobs:
            await accept(bed.broker, queued_job)
        async with bed.broker.consume(bed.queue, 3) as deliveries:
            assert await bed.carry_out(jobs, deliveries) == [Disposition.DONE] * 3
    assert sorted(bed.channel.sent) == sorted(queued_job.request for queued_job in others)
    told = {outcome.request: outcome.code for batch in await bed.heard_of(3) for outcome in batch.outcomes}
    assert told == {erased.request: "erased"} | {queued_job.request: None for queued_job in others}


async def test_a_delivery_that_needs_isolation_leaves_the_group_unsent(bed: Bed, valkey_url: str) -> None:
    """A claim that lapsed is all that a worker leaves who died over a message that it had claimed at once."""
    suspect, *others = jobs = [job() for _ in range(3)]
    async with connect(valkey_url) as redis:
        await redis.call("HSET", f"imsg:ledger:{suspect.name}", "0", "c died.x:1 1000 0 900 0")
    for queued_job in jobs:
        await accept(bed.broker, queued_job)
    async with bed.broker.consume(bed.queue, 3) as deliveries:
        endings = await bed.carry_out(jobs, deliveries)
    assert endings == [Disposition.NEEDS_ISOLATION, Disposition.DONE, Disposition.DONE]
    assert sorted(bed.channel.sent) == sorted(queued_job.request for queued_job in others)


async def test_redis_that_goes_away_within_a_group_has_every_result_once_it_is_back(bed: Bed) -> None:
    jobs = [job() for _ in range(4)]
    for queued_job in jobs:
        await accept(bed.broker, queued_job)
    with Valkey() as server:
        async with connect(server.url) as redis:
            await redis.call("HSET", CANCELS, CANCELS_COMPLETE, 1)
            claims, gone = Claims(redis), asyncio.Event()
            bed.lane = replace(bed.lane, claims=claims, pause=PauseSwitch(redis, claims, "smtp", time.monotonic))

            async def take_redis_away() -> None:
                if not gone.is_set():
                    gone.set()
                    await asyncio.to_thread(server.kill)

            async def bring_it_back() -> None:
                await gone.wait()
                await asyncio.sleep(0.5)
                await asyncio.to_thread(server.start)

            bed.channel.before_each = take_redis_away
            back = asyncio.create_task(bring_it_back())
            async with bed.broker.consume(bed.queue, 4) as deliveries:
                endings = await bed.carry_out(jobs, deliveries)
            await back
            kept = [await redis.call("HGET", f"imsg:ledger:{job.name}", "0") for job in jobs]
    assert endings == [Disposition.DONE] * 4
    assert sorted(bed.channel.sent) == sorted(job.request for job in jobs)
    assert all(entry.startswith(b"s 5 ") for entry in kept)


async def test_a_copy_that_comes_when_its_hash_has_gone_is_acked_and_not_sent(bed: Bed, valkey_url: str) -> None:
    accepted_at = datetime.now(UTC) - timedelta(seconds=COMPACT_AFTER_S + 5)
    accepted_job = job(accepted_at=accepted_at)
    async with connect(valkey_url) as redis:
        for _ in range(2):
            await accept(bed.broker, accepted_job)
        async with bed.broker.consume(bed.queue, 2) as deliveries:
            for _ in range(2):
                delivery = await anext(deliveries)
                endings = await bed.groups.deliver(bed.lane, [(accepted_job, delivery)])
                assert endings[delivery] is Disposition.DONE
                await bed.claims.compaction.compact()
                assert not await redis.call("EXISTS", f"imsg:ledger:{accepted_job.name}")
    assert bed.channel.sent == [accepted_job.request]
    told = [outcome for batch in await bed.heard(4) for outcome in batch.outcomes]
    assert [(outcome.status, outcome.attempt) for outcome in told] == [("sent", 1)] * 2
    await depth_is(bed.broker, bed.queue, 0)
