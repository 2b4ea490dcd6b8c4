"""While nothing gets through one tries and the others wait; what waited loses neither attempts nor life."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Self

import pytest
from prometheus_client import CollectorRegistry

from imsg_broker.port import Broker
from imsg_contract.results import Again, Blocked, Result, Sent
from imsg_contract.topology import CANCELS, CANCELS_COMPLETE, Lane, Topology, channel_key
from imsg_contract.wire import Job, Recipient
from imsg_delivery.consumer import Worker
from imsg_delivery.disposition import Requeue
from imsg_delivery.outage import OutageGuard
from imsg_limits.breakers import Breakers
from imsg_runtime.redis import Redis, connect
from imsg_testing.brokers import depth_is, open_ready
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import TERMS, accept, job

AWAY = Blocked("relay", "mail:25", "unreachable", "nobody listens", 0.0)


async def turn() -> None:
    """Let timers that are due, and what waits for them, have their turns."""
    for _ in range(10):
        await asyncio.sleep(0)


class Way:
    """What a guard goes by, in a test's hands."""

    def __init__(self, try_s: float = 600.0) -> None:
        self.outage: Blocked | None = None
        self.now = 1_000.0
        self.guard = OutageGuard(lambda: self.outage, lambda: self.now, try_s)
        self.tasks: dict[str, asyncio.Task[bool]] = {}
        self.ended: list[str] = []
        """The names of the waits that have ended, in order."""

    async def wait(self, lane: Lane, *names: str) -> None:
        """Start calls of a lane, which wait for the outage's end."""
        for name in names:
            self.tasks[name] = asyncio.create_task(self._wait(lane, name))
        await turn()

    async def _wait(self, lane: Lane, name: str) -> bool:
        may_try = await self.guard.wait(lane)
        self.ended.append(name)
        return may_try

    def find_reported(self) -> dict[str, bool]:
        """Return the waits that have ended → whether the call may try."""
        return {name: task.result() for name, task in self.tasks.items() if task.done() and not task.cancelled()}


async def test_one_tries_the_others_wait_and_all_go_once_it_has_succeeded() -> None:
    way = Way()
    assert await way.guard.wait(Lane.NORMAL) is False
    way.outage = AWAY
    assert way.guard.check() == AWAY
    await way.wait(Lane.NORMAL, "single", "later")
    assert way.find_reported() == {"single": True}
    way.outage = None
    way.guard.end_try()
    await turn()
    assert way.find_reported() == {"single": True, "later": False}
    assert not way.guard.is_on


async def test_lanes_try_in_turn_the_lowest_first_and_within_a_lane_who_waits_longest() -> None:
    way = Way()
    way.outage = replace(AWAY, after_s=300.0)
    way.guard.check()
    await way.wait(Lane.PRIORITY, "code")
    await way.wait(Lane.BULK, "list", "list behind")
    assert way.find_reported() == {}
    way.outage = AWAY
    for so_far in (["list"], ["code", "list"], ["code", "list", "list behind"]):
        way.guard.end_try()
        await turn()
        assert sorted(way.find_reported()) == so_far


async def test_no_call_tries_early_and_the_reported_time_is_the_next_try() -> None:
    way = Way()
    way.outage = Blocked("relay", "mail:25", "535", "wrong password", 300.0)
    way.guard.check()
    assert way.guard.find_reported() is None
    await way.wait(Lane.NORMAL, "single")
    assert way.find_reported() == {}
    assert way.guard.find_reported() == way.outage


async def test_a_try_that_is_cancelled_leaves_it_to_the_next() -> None:
    way = Way()
    way.outage = AWAY
    way.guard.check()
    await way.wait(Lane.NORMAL, "first", "second")
    way.tasks["second"].cancel()
    way.guard.end_try()
    await way.wait(Lane.NORMAL, "third")
    assert way.find_reported() == {"first": True, "third": True}


async def test_calls_go_within_a_second_of_an_outage_that_ends_without_a_call() -> None:
    """A provider was switched on: no call tries it, and the outage's own time may be long."""
    way = Way()
    watching = asyncio.create_task(way.guard.watch())
    way.outage = replace(AWAY, code="switched_off", after_s=60.0)
    await wait_until(lambda: way.guard.is_on)
    await way.wait(Lane.NORMAL, "single")
    assert way.find_reported() == {}
    way.outage = None
    async with asyncio.timeout(60):
        assert await way.tasks["single"] is False
    watching.cancel()


async def test_a_call_that_tries_and_gets_no_answer_keeps_the_others_from_trying_for_a_time_only() -> None:
    """That it does keep them: `test_one_tries_the_others_wait_and_all_go_once_it_has_succeeded`."""
    way = Way(try_s=0.5)
    way.outage = AWAY
    way.guard.check()
    await way.wait(Lane.NORMAL, "hangs", "next")
    async with asyncio.timeout(60):
        assert await way.tasks["next"] is True
    assert (way.ended, way.find_reported()) == (["hangs", "next"], {"hangs": True, "next": True})


async def test_a_lane_that_is_handed_back_waits_for_nothing_until_it_is_let_in() -> None:
    way = Way()
    way.outage = AWAY
    way.guard.check()
    await way.wait(Lane.BULK, "tries", "list")
    way.guard.dismiss(Lane.BULK)
    with pytest.raises(Requeue):
        await way.tasks["list"]
    with pytest.raises(Requeue):
        await way.guard.wait(Lane.BULK)
    way.guard.admit(Lane.BULK)
    way.guard.end_try()
    assert await way.guard.wait(Lane.BULK) is True


async def test_the_time_of_an_outage_is_no_part_of_a_message_s_life_and_is_given_back_once() -> None:
    way = Way()
    way.outage = AWAY
    way.guard.check()
    way.now += 600
    way.outage = None
    way.guard.check()
    way.now += 60
    now = datetime.now(UTC)
    waited = job(accepted_at=now - timedelta(seconds=300), expires_at=now)
    given = way.guard.prolong(waited, now.timestamp())
    assert (given.expires_at - now, given.extended_s) == (timedelta(seconds=240), 240)
    assert way.guard.prolong(given, now.timestamp()) == given
    came_later = job(accepted_at=now - timedelta(seconds=30))
    assert way.guard.prolong(came_later, now.timestamp()) is came_later


class Shut:
    """A channel to a provider that can be away."""

    method = "smtp"
    terms = TERMS

    def __init__(self) -> None:
        self.is_away = True
        self.calls_in_vain = 0
        self.sent: list[tuple[str, int]] = []
        self._breakers = Breakers("relay", time.monotonic, threshold=3, cool_off_s=0.2, scope="mail:25")

    async def prepare(self, job: Job) -> str:
        """Prepare nothing."""
        return job.request

    async def deliver(self, job: Job, prepared: str, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Send, or fail because the provider is unreachable."""
        await asyncio.sleep(0.001)
        result: Result | None = self._breakers.find_block({})
        if result is None and self.is_away:
            self.calls_in_vain += 1
            result = Again("relay", "unreachable", "nobody listens", concerns="provider")
            self._breakers.record_result({}, result)
        elif result is None:
            self.sent += [(job.request, recipient.n) for recipient in recipients]
            result = Sent("relay", prepared)
            self._breakers.record_result({}, result)
        return {recipient.n: result for recipient in recipients}

    def find_outage(self) -> Blocked | None:
        """Return the block of all calls; None while they succeed."""
        return self._breakers.find_outage()


async def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something of this process."""

    async def ask() -> bool:
        return is_so()

    await eventually(ask, within_s=60)


class Stage:
    """A worker of that channel, and a broker with steps of its own."""

    def __init__(self, broker: Broker, redis: Redis, channel: Shut) -> None:
        self.broker, self.redis, self.channel = broker, redis, channel
        self.stopping = asyncio.Event()
        self.worker = Worker(channel, broker, redis, metrics=CollectorRegistry(), stopping=self.stopping)

    def queue(self, lane: Lane) -> str:
        """Return the name of a lane's queue."""
        return self.broker.topology.queue("smtp", lane)

    async def depth(self, lane: Lane) -> int:
        """Count what waits in the retry steps; streams keep those of a queue together."""
        return await self.broker.depth(self.broker.topology.retry(self.queue(lane), 1))

    async def is_shown_blocked(self) -> bool:
        """Return whether the channel's published state is blocked."""
        return bool(await self.redis.call("HGET", channel_key("smtp"), "state") == b"blocked")

    async def stop(self) -> None:
        """Stop the worker, and wait until it has ended."""
        self.stopping.set()
        async with asyncio.timeout(60):
            await self.working

    async def __aenter__(self) -> Self:
        """Begin."""
        self.working = asyncio.create_task(self.worker.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End."""
        await self.stop()


@pytest.fixture
async def stage(valkey_url: str) -> AsyncIterator[Stage]:
    """Make a stage on a broker of its own."""
    topology = Topology(prefix=f"hold{secrets.token_hex(4)}", methods=("smtp",), steps_s=(1, 2, 4))
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_ready(valkey_url, topology))
        redis = await stack.enter_async_context(connect(valkey_url))
        await redis.call("HSET", CANCELS, CANCELS_COMPLETE, 1)  # as scheduler marks them complete
        await redis.call("DEL", channel_key("smtp"))
        yield await stack.enter_async_context(Stage(broker, redis, Shut()))


async def test_what_waited_through_an_outage_leaves_at_full_speed_when_the_provider_is_back(stage: Stage) -> None:
    """But for what was tried meanwhile: that comes by the first step, or the next if it failed before it was known."""
    channel = stage.channel
    for queued_job in (jobs := [*(job() for _ in range(60)), job(200)]):
        await accept(stage.broker, queued_job)
    await wait_until(lambda: channel.calls_in_vain >= 5)
    await eventually(stage.is_shown_blocked, within_s=60)
    channel.is_away = False
    expected = {(job.request, recipient.n) for job in jobs for recipient in job.recipients}
    await wait_until(lambda: len(channel.sent) == len(expected))
    assert set(channel.sent) == expected
    for lane in (Lane.NORMAL, Lane.BULK):
        await depth_is(stage.broker, stage.queue(lane), 0)
        await depth_is(stage.broker, stage.broker.topology.retry(stage.queue(lane), 1), 0)


async def test_a_worker_that_is_stopped_hands_back_at_once_what_waits(stage: Stage) -> None:
    for _ in range(60):
        await accept(stage.broker, job())
    await wait_until(lambda: stage.channel.calls_in_vain >= 4)
    await stage.stop()
    assert stage.channel.sent == []

    async def are_all_there() -> bool:  # a retry may become due between the two counts
        return await stage.broker.depth(stage.queue(Lane.NORMAL)) + await stage.depth(Lane.NORMAL) == 60

    await eventually(are_all_there)
