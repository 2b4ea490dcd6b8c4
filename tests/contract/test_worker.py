"""The worker: every accepted message settles once, whatever the provider answers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from imsg_broker.port import Broker
from imsg_contract.topology import CANCELS, CANCELS_COMPLETE, Lane, channel_key
from imsg_contract.wire import Job
from imsg_delivery.claims.store import BORN_KEY
from imsg_delivery.consumer import Worker
from imsg_runtime.redis import Redis
from imsg_runtime.redis import connect as connect_redis
from imsg_runtime.settings import Common
from imsg_testing.brokers import depth_is
from imsg_testing.loop_time import StoppedClock
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import (
    SENT_UNSEEN,
    TERMS,
    HistoryListener,
    ScriptedProvider,
    TrialChannel,
    accept,
    job,
    worker_at,
)
from imsg_web.service import Service


async def test_a_single_message_is_sent_and_its_outcome_is_published(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job()
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await history.wait_settled(new.request)
    outcome = history.last(new.request)
    assert (outcome.status, outcome.provider, outcome.attempt) == ("sent", "trial", 1)
    assert outcome.provider_id == f"{new.request}-0"
    assert provider.count(new.request) == {0: 1}
    await depth_is(broker, broker.topology.queue("smtp", new.lane), 0)  # the management API is a moment behind


async def test_a_long_job_is_split_and_every_recipient_settles_once(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(230)
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await history.wait_settled(new.request, 230)
    # A worker that lost its broker for a moment publishes settled outcomes again; no message is sent twice.
    assert all(set(statuses) == {"sent"} for statuses in history.statuses(new.request).values())
    assert provider.count(new.request) == dict.fromkeys(range(230), 1)
    assert [len(heard.recipients) for heard in history.jobs] == [230]


async def test_a_job_that_is_split_twice_sends_each_recipient_once(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    """As when a worker dies between the parts and the ack, or history publishes a request again."""
    new = job(120)
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await accept(broker, new)
        await history.wait_settled(new.request, 120)

        async def both_done() -> bool:
            return await broker.depth(broker.topology.queue("smtp", new.lane)) == 0

        await eventually(both_done)
    assert provider.count(new.request) == dict.fromkeys(range(120), 1)
    assert {frozenset(statuses) for statuses in history.statuses(new.request).values()} == {frozenset({"sent"})}


async def test_a_long_list_does_not_delay_a_single_message(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    crowd, accepted_job = job(400, first=1), job()
    provider.latency_s = 0.05
    provider.let_through = {0}
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, crowd)

        async def at_work() -> bool:
            return len(provider.taken) >= 20

        await eventually(at_work)
        provider.open.clear()
        await accept(broker, accepted_job)
        await history.wait_settled(accepted_job.request)
        assert len(provider.count(crowd.request)) < 300
        provider.open.set()


async def test_no_more_calls_are_in_flight_than_the_lanes_share(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    crowd, singles = job(60), [job() for _ in range(20)]
    provider.latency_s = 0.02
    async with worker_at(broker, redis_url, provider.port):
        for queued_job in (crowd, *singles):
            await accept(broker, queued_job)
        await history.wait_settled(crowd.request, 60)
        for single in singles:
            await history.wait_settled(single.request)
    assert provider.most_under_way <= TERMS.concurrency[Lane.PRIORITY]


async def test_a_refused_recipient_is_never_retried(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(3)
    provider.always(1, {"result": "refused", "detail": "no such mailbox"})
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await history.wait_settled(new.request, 3)
    assert history.statuses(new.request) == {0: ["sent"], 1: ["failed"], 2: ["sent"]}
    assert (history.last(new.request, 1).code, history.last(new.request, 1).detail) == ("550", "no such mailbox")
    assert provider.asked == {0: 1, 1: 1, 2: 1}


async def test_a_busy_provider_is_asked_again_for_those_it_did_not_take(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(5)
    provider.answer(2, {"result": "again"}, {"result": "again"})
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await history.wait_settled(new.request, 5)
    assert history.statuses(new.request)[2] == ["retrying", "retrying", "sent"]
    assert [outcome.attempt for outcome in history.outcomes[new.request, 2]] == [1, 2, 3]
    assert provider.asked == {0: 1, 1: 1, 2: 3, 3: 1, 4: 1}


@pytest.mark.usefixtures("_life_ends_at_delay")
async def test_what_can_not_be_prepared_waits_for_its_next_attempt(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(2, content={"subject": "no body", "text": ""})
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await history.wait_settled(new.request, 2)
    assert history.statuses(new.request)[0][0] == "retrying"
    assert history.last(new.request).status == "expired"
    assert history.outcomes[new.request, 0][0].code == "away"
    assert not provider.asked


@pytest.mark.usefixtures("_life_ends_at_delay")
async def test_a_message_whose_time_is_over_expires_unsent(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    """Also before it was tried, after an attempt, and where the next one would come after its life."""
    late, refused, busy = job(life_s=-1), job(), job(first=1)
    provider.always(0, {"result": "again"})
    provider.always(1, {"result": "again", "after_s": 7_200})
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, late)
        await history.wait_settled(late.request)
        assert not provider.asked
        for new in (refused, busy):
            await accept(broker, new)
            await history.wait_settled(new.request)
    assert history.statuses(late.request) == {0: ["expired"]}
    assert history.statuses(refused.request) == {0: ["retrying", "expired"]}
    assert history.statuses(busy.request) == {1: ["expired"]}
    assert provider.asked == {0: 1, 1: 1}


async def test_a_block_uses_up_no_attempt_and_extends_the_life(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider, redis: Redis
) -> None:
    new, clock = job(), StoppedClock(time.monotonic())
    provider.answer(0, *[{"result": "blocked", "after_s": 1.9}] * 3)
    async with worker_at(broker, redis_url, provider.port, clock=clock):
        await accept(broker, new)

        async def is_blocked() -> bool:
            state = await redis.call("HMGET", channel_key("smtp"), "state", "why")
            return bool(state == [b"blocked", b"account: 535"])

        await eventually(is_blocked)
        await history.wait_settled(new.request)
        clock.now += 60

        async def is_open() -> bool:
            return bool(await redis.call("HGET", channel_key("smtp"), "state") == b"open")

        await eventually(is_open)
    assert history.statuses(new.request) == {0: ["retrying"] * 3 + ["sent"]}
    assert {outcome.attempt for outcome in history.outcomes[new.request, 0]} == {1}
    assert provider.lives[0] == [new.expires_at + timedelta(seconds=waited_s) for waited_s in range(4)]


@pytest.mark.parametrize(("uncertain", "ends", "asks"), [("repeat", "sent", 2), ("stop", "uncertain", 1)])
async def test_unknown_is_answered_by_the_rule_of_the_method(  # noqa: PLR0917  fixtures
    broker: Broker,
    redis_url: str,
    history: HistoryListener,
    provider: ScriptedProvider,
    uncertain: Literal["repeat", "stop"],
    ends: str,
    asks: int,
) -> None:
    new = job()
    provider.answer(0, SENT_UNSEEN)
    async with worker_at(broker, redis_url, provider.port, replace(TERMS, uncertain=uncertain)):
        await accept(broker, new)
        await history.wait_settled(new.request)
    assert history.last(new.request).status == ends
    assert provider.asked[0] == asks


async def test_what_may_be_repeated_for_a_while_only_ends_uncertain_after_it(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job()
    provider.answer(0, SENT_UNSEEN, {"result": "again", "after_s": 1_800})
    async with worker_at(broker, redis_url, provider.port, replace(TERMS, repeat_for_s=1_800)):
        await accept(broker, new)
        await history.wait_settled(new.request)
    assert history.last(new.request).status == "uncertain"
    assert provider.asked[0] == 2


async def test_a_settled_chunk_delivered_again_is_published_again_and_not_sent_again(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(4, chunk=0)
    queue = broker.topology.direct(broker.topology.queue("smtp", new.lane))
    provider.always(3, {"result": "refused"})
    async with worker_at(broker, redis_url, provider.port):
        await broker.publish(new.encode(), queue)
        await history.wait_settled(new.request, 4)
        await broker.publish(new.encode(), queue)

        async def are_told_twice() -> bool:
            return all(len(statuses) == 2 for statuses in history.statuses(new.request).values())

        await eventually(are_told_twice)
    assert history.outcomes[new.request, 0][0] == history.outcomes[new.request, 0][1]
    assert provider.asked == {0: 1, 1: 1, 2: 1, 3: 1}


async def test_two_copies_of_a_part_at_once_send_each_recipient_once(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(20, chunk=0)
    provider.latency_s = 0.02
    provider.answer(7, {"result": "again"})
    queue = broker.topology.direct(broker.topology.queue("smtp", new.lane))
    async with worker_at(broker, redis_url, provider.port), worker_at(broker, redis_url, provider.port):
        await asyncio.gather(*(broker.publish(new.encode(), queue) for _ in range(3)))
        await history.wait_settled(new.request, 20)
    assert provider.asked == {**dict.fromkeys(range(20), 1), 7: 2}


async def test_what_can_not_be_read_is_buried_with_the_reason(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job()
    route = broker.topology.direct(broker.topology.queue("smtp", new.lane))
    foreign = new.model_copy(update={"method": "sms"})
    async with worker_at(broker, redis_url, provider.port):
        await broker.publish(b"{", route)
        await broker.publish(new.encode().replace(b'"recipients"', b'"people"'), route)
        await broker.publish(foreign.encode(), route)
        await broker.publish(new.encode().replace(b'"v":1', b'"v":2'), route)
        await accept(broker, new)
        await history.wait_settled(new.request)

        async def all_dead() -> bool:
            return len(history.dead) == 4

        await eventually(all_dead)
    reasons = sorted(reason for reason, _ in history.dead)
    assert reasons[0].startswith("it is for sms")
    assert reasons[1].startswith("unreadable: body: Invalid JSON")
    assert reasons[2:] == ["unreadable: recipients: Field required", "unreadable: v: Input should be 1"]


async def test_what_breaks_the_channel_three_times_is_dead_and_its_neighbours_are_sent(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    in_prepare, in_deliver = job(2, content={"subject": "raise", "text": ""}), job(10)
    provider.always(6, {"result": "raise"})
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, in_prepare)
        await accept(broker, in_deliver)
        await history.wait_settled(in_deliver.request, 9)

        async def both_dead() -> bool:
            return len(history.dead) == 2

        await eventually(both_dead, 60)
    assert provider.asked[6] == 3
    assert provider.count(in_deliver.request) == {n: 1 for n in range(10) if n != 6}
    dead = {body.request: [recipient.n for recipient in body.recipients] for body in map(_read, history.dead)}
    assert dead == {in_prepare.request: [0, 1], in_deliver.request: [6]}
    assert {reason for reason, _ in history.dead} == {"broke the worker 3 times"}


async def test_a_paused_channel_takes_nothing_until_it_is_resumed(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider, redis: Redis
) -> None:
    new = job()
    queue = broker.topology.queue("smtp", new.lane)
    await redis.call("HSET", channel_key("smtp"), "paused", "1")
    await accept(broker, new)
    async with worker_at(broker, redis_url, provider.port):

        async def has_looked() -> bool:
            return bool(await redis.call("HGET", channel_key("smtp"), "state"))

        await eventually(has_looked)
        await depth_is(broker, queue, 1)
        assert provider.asked[0] == 0
        await redis.call("HDEL", channel_key("smtp"), "paused")
        await history.wait_settled(new.request)


async def test_pausing_a_channel_at_work_stops_it(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider, redis: Redis
) -> None:
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new := job())
        await history.wait_settled(new.request)
        await redis.call("HSET", channel_key("smtp"), "paused", "1")

        async def takes_nothing() -> bool:
            await accept(broker, accepted_job := job())
            with contextlib.suppress(TimeoutError):
                await history.wait_settled(accepted_job.request, within_s=0.5)
            waiting.append(accepted_job)
            return not provider.count(accepted_job.request)

        waiting: list[Job] = []
        await eventually(takes_nothing)
        await redis.call("HSET", channel_key("smtp"), "paused", "0")
        for queued_job in waiting:
            await history.wait_settled(queued_job.request)


async def test_what_was_accepted_before_redis_lost_its_data_and_released_since_waits_for_the_cancels(
    broker: Broker, redis_url: str, redis: Redis, history: HistoryListener, provider: ScriptedProvider
) -> None:
    now = datetime.now(UTC)
    taken_back, kept = (
        job(accepted_at=now - timedelta(hours=1), due_at=now, released_at=now + timedelta(seconds=1)) for _ in range(2)
    )
    async with worker_at(broker, redis_url, provider.port):
        await redis.call("SET", BORN_KEY, round(now.timestamp() * 1_000))
        await redis.call("DEL", CANCELS)
        for queued_job in (taken_back, kept):
            await accept(broker, queued_job)

        async def wait() -> bool:
            return all(
                "retrying" in history.statuses(queued_job.request).get(0, ()) for queued_job in (taken_back, kept)
            )

        await eventually(wait)
        assert not provider.taken
        await redis.call("HSET", CANCELS, taken_back.request, "*", CANCELS_COMPLETE, 1)  # as scheduler does
        for queued_job in (taken_back, kept):
            await history.wait_settled(queued_job.request)
    assert [history.last(queued_job.request).status for queued_job in (taken_back, kept)] == ["cancelled", "sent"]
    assert (provider.count(taken_back.request), provider.count(kept.request)) == ({}, {0: 1})


async def test_a_worker_that_stops_ends_its_calls_and_hands_back_the_rest(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(40)
    provider.latency_s = 0.05
    async with worker_at(broker, redis_url, provider.port) as stopping:
        await accept(broker, new)

        async def some() -> bool:
            return len(provider.taken) >= 8

        await eventually(some)
        stopping.set()
    sent_before = len(provider.taken)
    assert sent_before < 20
    async with worker_at(broker, redis_url, provider.port):
        await history.wait_settled(new.request, 40)
    assert provider.count(new.request) == dict.fromkeys(range(40), 1)
    assert {statuses[-1] for statuses in history.statuses(new.request).values()} == {"sent"}


async def test_a_service_that_ends_waits_for_its_workers_calls(
    broker: Broker, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(4)
    provider.latency_s = 0.3

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        channel = TrialChannel(provider.port, TERMS)
        async with connect_redis(redis_url) as redis:
            await redis.call("HSET", CANCELS, CANCELS_COMPLETE, 1)  # as scheduler does
            worker = Worker(channel, broker, redis, metrics=service.metrics, stopping=service.stopping)
            service.watch(worker.run(), "worker")
            yield PlainTextResponse("")
        await channel.close()

    async def at_work() -> bool:
        return provider.under_way > 0

    service = Service("trial", Common(), opening)
    async with service.running():
        await accept(broker, new)
        await eventually(at_work)
        service.stopping.set()  # as SIGTERM does, a while before the parts close
        for _ in range(10):
            await asyncio.sleep(0)
    async with worker_at(broker, redis_url, provider.port):
        await history.wait_settled(new.request, 4)
    assert provider.count(new.request) == dict.fromkeys(range(4), 1)
    assert {statuses[-1] for statuses in history.statuses(new.request).values()} == {"sent"}


def _read(dead: tuple[str, bytes]) -> Job:
    return Job.model_validate_json(dead[1])
