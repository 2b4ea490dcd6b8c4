"""The contract of both brokers without faults: one suite, two real servers."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from imsg_broker.port import MAX_BODY_BYTES, Broker, Load, PublishRefused, Unreachable
from imsg_broker.redis_streams import consumer as stream_consumer
from imsg_contract.topology import DEAD, DELIVERY_LIMIT, OUTCOME, Lane, Topology, job_key
from imsg_testing.brokers import arrivals, depth_is, is_so, nothing_arrives, open_ready, remove_queues
from imsg_testing.waiting import eventually

JOB = job_key("smtp", Lane.NORMAL)


@pytest.fixture(params=["rabbit_url", "valkey_url"])
async def broker_url(request: pytest.FixtureRequest, topology: Topology) -> AsyncIterator[str]:
    """Yield the URL of a broker; remove the queues of the test's topology afterwards."""
    url: str = request.getfixturevalue(request.param)
    yield url
    await remove_queues(url, f"{topology.prefix}.*")


@pytest.fixture
async def broker(broker_url: str, topology: Topology) -> AsyncIterator[Broker]:
    """Open a broker that is ready."""
    async with open_ready(broker_url, topology) as broker:
        yield broker


async def test_something_new_reaches_its_queue_and_history(broker: Broker, topology: Topology) -> None:
    headers = {"trace": "00-ab-cd-01", "名": "值"}
    async with (
        broker.consume(topology.queue("smtp", Lane.NORMAL), 10) as jobs,
        broker.consume(topology.history, 10) as events,
    ):
        await broker.publish("正文".encode(), topology.new(JOB), headers)
        (job,), (event,) = await arrivals(jobs, 1), await arrivals(events, 1)
    for delivery in (job, event):
        assert (delivery.body.decode(), delivery.key, delivery.redelivered) == ("正文", JOB, False)
        assert headers.items() <= delivery.headers.items()
    assert (job.queue, event.queue) == (topology.queue("smtp", Lane.NORMAL), topology.history)


async def test_an_outcome_reaches_history_alone(broker: Broker, topology: Topology) -> None:
    await broker.publish(b"{}", topology.new(OUTCOME))
    await depth_is(broker, topology.history, 1)
    for queue, _ in topology.work_queues():
        assert await broker.depth(queue) == 0


async def test_who_consumes_a_queue_is_counted(broker: Broker, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)

    async def counts(expected: int) -> bool:
        try:
            return await broker.load(queue) == Load(0, expected)
        except Unreachable:
            return False

    await eventually(lambda: counts(0))
    async with broker.consume(queue, 1):
        await eventually(lambda: counts(1))
        async with broker.consume(queue, 1), broker.consume(topology.queue("smtp", Lane.BULK), 1):
            await eventually(lambda: counts(2))
        await eventually(lambda: counts(1))
    await eventually(lambda: counts(0))


async def test_a_suppression_reaches_the_catalog_alone(broker: Broker, topology: Topology) -> None:
    await broker.publish(b"{}", topology.suppressions)

    await depth_is(broker, topology.catalog, 1)
    assert await broker.depth(topology.history) == 0


async def test_a_part_goes_to_its_own_queue_and_past_history(broker: Broker, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.BULK)
    await broker.publish(b"part", topology.direct(queue))
    async with broker.consume(queue, 1) as parts:
        (part,) = await arrivals(parts, 1)
    assert (part.body, part.key) == (b"part", queue)
    assert await broker.depth(topology.history) == 0


async def test_deliveries_come_in_the_order_of_their_publishes(broker: Broker, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    for n in range(50):
        await broker.publish(b"%d" % n, topology.direct(queue))
    async with broker.consume(queue, 7) as jobs:
        for n in range(50):
            (job,) = await arrivals(jobs, 1)
            assert job.body == b"%d" % n
            await broker.ack(job)


async def test_many_publishes_at_once_are_all_kept_once(broker: Broker, topology: Topology) -> None:
    async def publish(n: int) -> None:
        try:
            await broker.publish(b"%d" % n, topology.new(OUTCOME))
        except PublishRefused as refused:  # on a busy machine there may be no room within a second: nothing is kept
            if "already wait" not in str(refused):
                raise
            await publish(n)

    await asyncio.gather(*map(publish, range(2_000)))
    seen = []
    async with broker.consume(topology.history, 100) as events:
        for _ in range(2_000):
            (event,) = await arrivals(events, 1)
            seen.append(int(event.body))
            await broker.ack(event)
    assert sorted(seen) == list(range(2_000))
    await depth_is(broker, topology.history, 0)


async def test_the_longest_message_arrives_whole(broker: Broker, topology: Topology) -> None:
    body = bytes(range(256)) * (MAX_BODY_BYTES // 256)
    await broker.publish(body, topology.new(JOB))
    async with broker.consume(topology.history, 1) as events:
        (event,) = await arrivals(events, 1)
    assert event.body == body


async def test_a_message_that_is_too_long_is_refused(broker: Broker, topology: Topology) -> None:
    with pytest.raises(PublishRefused, match="at most"):
        await broker.publish(b"x" * (MAX_BODY_BYTES + 1), topology.new(JOB))
    await depth_is(broker, topology.history, 0)


async def test_a_message_without_a_queue_is_refused(broker: Broker, topology: Topology) -> None:
    with pytest.raises(PublishRefused, match="queue"):
        await broker.publish(b"part", topology.direct(f"{topology.prefix}.nowhere"))
    await broker.publish(b"next", topology.new(OUTCOME))


async def test_a_publish_given_up_by_its_caller_harms_no_other(broker: Broker, topology: Topology) -> None:
    given_up = asyncio.create_task(broker.publish(b"given up", topology.new(OUTCOME)))
    others = [asyncio.create_task(broker.publish(b"other", topology.new(OUTCOME))) for _ in range(20)]
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(*others)
    await broker.publish(b"later", topology.new(OUTCOME))

    async def are_kept() -> bool:
        try:
            return await broker.depth(topology.history) in {21, 22}
        except Unreachable:
            return False

    await eventually(are_kept)


async def test_no_more_than_the_prefetch_is_unacked(broker: Broker, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.BULK)
    for n in range(10):
        await broker.publish(b"%d" % n, topology.direct(queue))
    async with broker.consume(queue, 3) as parts:
        held = await arrivals(parts, 3)
        assert await nothing_arrives(parts, 0.3)
        await broker.ack(held[1])
        (one_more,) = await arrivals(parts, 1)
        assert one_more.body == b"3"
        assert await nothing_arrives(parts, 0.3)


async def test_a_full_bulk_lane_never_delays_a_single_message(broker: Broker, topology: Topology) -> None:
    bulk, single = topology.queue("smtp", Lane.BULK), topology.queue("smtp", Lane.NORMAL)
    for n in range(100):
        await broker.publish(b"%d" % n, topology.direct(bulk))
    async with broker.consume(bulk, 10) as parts, broker.consume(single, 10) as jobs:
        await arrivals(parts, 10)
        await broker.publish(b"urgent", topology.new(JOB))
        (job,) = await arrivals(jobs, 1)
    assert job.body == b"urgent"


async def test_two_consumers_share_a_queue_and_none_gets_the_other_s(broker: Broker, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.BULK)
    async with broker.consume(queue, 5) as first, broker.consume(queue, 5) as second:
        await is_so(lambda: broker.ready)
        for n in range(10):
            await broker.publish(b"%d" % n, topology.direct(queue))
        bodies = [delivery.body for taken in (first, second) for delivery in await arrivals(taken, 5)]
    assert sorted(bodies) == [b"%d" % n for n in range(10)]


async def test_depth_counts_what_is_ready_and_what_is_unacked(
    broker: Broker, broker_url: str, topology: Topology
) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    for _ in range(6):
        await broker.publish(b"job", topology.direct(queue))
    async with open_ready(broker_url, topology) as gateway, broker.consume(queue, 4) as jobs:
        held = await arrivals(jobs, 4)
        await depth_is(broker, queue, 6)
        await depth_is(gateway, queue, 6)
        for delivery in held[:3]:
            await broker.ack(delivery)
        await arrivals(jobs, 2)
        await depth_is(broker, queue, 3)
        await depth_is(gateway, queue, 3)


async def test_depth_counts_what_waits_in_a_step(broker_url: str, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    step = topology.retry(queue, 600)
    async with open_ready(broker_url, replace(topology, query_steps_s=(600,))) as broker:
        await depth_is(broker, step, 0)
        await broker.delay(queue, b"job", 600)
        await depth_is(broker, step, 1)
        assert await broker.depth(queue) == 0


async def test_a_consumer_that_leaves_requeues_at_once_for_others(
    broker: Broker, topology: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_consumer, "LEASE_S", 1_800.0)  # as RabbitMQ's: its end would bring them too
    queue = topology.queue("smtp", Lane.NORMAL)
    async with AsyncExitStack() as leaving:
        jobs = await leaving.enter_async_context(broker.consume(queue, 5))
        for n in range(3):
            await broker.publish(b"%d" % n, topology.direct(queue))
        held = await arrivals(jobs, 3)
        await broker.ack(held[0])
        async with broker.consume(queue, 5) as others:
            await is_so(lambda: broker.ready)
            await leaving.aclose()
            again = await arrivals(others, 2)
            assert {delivery.body for delivery in again} == {b"1", b"2"}
            assert all(delivery.redelivered for delivery in again)
            assert not any(delivery.held for delivery in held[1:])


async def test_what_is_handed_back_comes_before_what_waited_behind_it(broker: Broker, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    for n in range(20):
        await broker.publish(b"%d" % n, topology.direct(queue))
    async with broker.consume(queue, 2) as jobs:
        await arrivals(jobs, 2)
    async with broker.consume(queue, 4) as jobs:
        bodies = [job.body for job in await arrivals(jobs, 4)]
    assert sorted(bodies) == [b"0", b"1", b"2", b"3"]


async def test_a_late_ack_of_what_was_handed_back_touches_nothing(broker: Broker, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    await broker.publish(b"job", topology.direct(queue))
    async with broker.consume(queue, 1) as jobs:
        (old,) = await arrivals(jobs, 1)
    async with broker.consume(queue, 1) as jobs:
        (new,) = await arrivals(jobs, 1)
        await broker.ack(old)
        await broker.ack(old)
        assert await broker.depth(queue) == 1
        await broker.ack(new)
        await broker.ack(new)
        await depth_is(broker, queue, 0)


async def test_leaving_ends_the_loop_of_who_still_reads(broker: Broker, topology: Topology) -> None:
    async def read_all() -> int:
        return len([job async for job in jobs])

    async with broker.consume(topology.queue("smtp", Lane.NORMAL), 1) as jobs:
        reading = asyncio.create_task(read_all())
    async with asyncio.timeout(60):
        assert await reading == 0


async def test_what_a_killed_consumer_held_comes_again(broker: Broker, broker_url: str, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    for n in range(5):
        await broker.publish(b"%d" % n, topology.direct(queue))
    command = ("-m", "imsg_testing.consumer_process", broker_url, topology.prefix, queue, "3")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(60):
        held = [(await process.stdout.readline()).strip() for _ in range(3)]
    process.kill()
    await process.wait()
    async with broker.consume(queue, 10) as jobs:
        again = await arrivals(jobs, 5)
        assert sorted(job.body for job in again) == [b"%d" % n for n in range(5)]
        assert {job.body for job in again if job.redelivered} == set(held)
        for job in again:
            await broker.ack(job)
        await depth_is(broker, queue, 0)


async def test_a_slow_delivery_is_not_stolen(broker: Broker, broker_url: str, topology: Topology) -> None:
    longer_than_any_lease_s = (
        1.0 if broker_url.startswith("amqp") else stream_consumer.LEASE_S + 1.0
    )  # RabbitMQ's is half an hour
    queue = topology.queue("smtp", Lane.NORMAL)
    await broker.publish(b"slow", topology.direct(queue))
    async with broker.consume(queue, 1) as slow:
        (job,) = await arrivals(slow, 1)
        async with broker.consume(queue, 10) as others:
            assert await nothing_arrives(others, longer_than_any_lease_s)
        assert job.held
        await broker.ack(job)
        await depth_is(broker, queue, 0)


async def test_postponed_messages_come_in_order_of_time_at_their_own_queue(broker_url: str, topology: Topology) -> None:
    loop = asyncio.get_running_loop()
    single, bulk = topology.queue("smtp", Lane.NORMAL), topology.queue("smtp", Lane.BULK)
    async with (
        open_ready(broker_url, replace(topology, steps_s=(1, 2, 600))) as broker,
        broker.consume(single, 10) as jobs,
        broker.consume(bulk, 10) as parts,
    ):
        began = loop.time()
        for step_s in (600, 2, 1):
            await broker.delay(single, b"%d" % step_s, step_s)
        await broker.delay(bulk, b"bulk", 1)
        came: set[bytes] = set()
        for _ in range(2):
            (job,) = await arrivals(jobs, 1)
            assert (job.key, job.queue) == (single, single)
            assert int(job.body) <= loop.time() - began + 0.01
            came.add(job.body)
        assert came == {b"1", b"2"}, "what comes in ten minutes was postponed first"
        (part,) = await arrivals(parts, 1)
        assert (part.body, part.queue) == (b"bulk", bulk)
        assert await broker.depth(topology.history) == 0


async def test_a_step_that_does_not_exist_is_an_error_of_the_caller(broker: Broker, topology: Topology) -> None:
    with pytest.raises(ValueError, match="none of the delays"):
        await broker.delay(topology.queue("smtp", Lane.NORMAL), b"job", 3)


async def test_an_unreadable_message_alone_is_dead_lettered(broker: Broker, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    for body in (b"before", b"\xff\x00 no JSON", b"after"):
        await broker.publish(body, topology.direct(queue))
    async with broker.consume(queue, 10) as jobs, broker.consume(topology.history, 10) as events:
        before, poison, after = await arrivals(jobs, 3)
        await broker.dead_letter(poison, "is no JSON 不是")
        (dead,) = await arrivals(events, 1)
        assert (dead.key, dead.body) == (DEAD, b"\xff\x00 no JSON")
        assert {"reason": "is no JSON 不是", "queue": queue}.items() <= dead.headers.items()
        assert before.held
        assert after.held
        await depth_is(broker, queue, 2)


async def test_what_was_handed_back_too_often_goes_to_history_as_dead(broker: Broker, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    await broker.publish(b"breaks its worker", topology.direct(queue))
    for _ in range(DELIVERY_LIMIT + 1):
        async with broker.consume(queue, 1) as jobs:
            await arrivals(jobs, 1)
    async with broker.consume(topology.history, 1) as events:
        (dead,) = await arrivals(events, 1)
    assert (dead.key, dead.body) == (DEAD, b"breaks its worker")
    assert {"reason": "delivery_limit", "queue": queue}.items() <= dead.headers.items()
    await depth_is(broker, queue, 0)
