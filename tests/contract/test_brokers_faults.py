"""The contract of both brokers under faults: prompt answers, and recovery by themselves."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
import redis

from imsg_broker.port import Broker, Delivery, PublishRefused, PublishUnknown, Unreachable
from imsg_contract.topology import OUTCOME, Lane, Topology, job_key
from imsg_testing.brokers import READY_WITHIN_S, arrivals, depth_is, is_so, open_ready, remove_queues, unready
from imsg_testing.proxy import Proxy
from imsg_testing.servers import Rabbit, Server, Valkey, reserve_port
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.long

JOB = job_key("smtp", Lane.NORMAL)


@pytest.fixture(scope="module", params=["rabbit", "streams"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run a broker's server for this module alone, to be killed and stopped from writing."""
    with Rabbit() if request.param == "rabbit" else Valkey() as server:
        yield server


@asynccontextmanager
async def behind_a_proxy(server: Server, topology: Topology) -> AsyncIterator[tuple[Broker, Proxy]]:
    """Open a broker through a proxy that can lose what the server says."""
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    async with (
        Proxy(parts.hostname, parts.port).running() as proxy,
        open_ready(proxy.url(server.url), topology) as broker,
    ):
        yield broker, proxy


async def test_what_was_accepted_outlives_the_server_and_all_goes_on(server: Server, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    async with open_ready(server.url, topology) as broker, broker.consume(queue, 2) as jobs:
        for n in range(4):
            await broker.publish(b"%d" % n, topology.new(JOB))
        first, second = await arrivals(jobs, 2)
        await broker.ack(first)
        await depth_is(broker, topology.history, 4)
        await asyncio.to_thread(server.kill)
        await is_so(lambda: not broker.ready and not second.held)
        await asyncio.to_thread(server.start)
        await is_so(lambda: broker.ready, READY_WITHIN_S)
        await broker.ack(second)  # of another life: must not take anything away
        again: list[Delivery] = []
        while {job.body for job in again} < {b"1", b"2", b"3"}:
            (job,) = await arrivals(jobs, 1)
            again.append(job)
            await broker.ack(job)
        assert next(job for job in again if job.body == b"1").redelivered
        await depth_is(broker, queue, 0)
        await broker.publish(b"after", topology.new(JOB))
        await depth_is(broker, topology.history, 5)


async def test_what_is_for_a_broker_that_is_away_is_refused(server: Server, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    async with open_ready(server.url, topology) as broker:
        await asyncio.to_thread(server.kill)
        try:
            await is_so(lambda: not broker.ready)
            with pytest.raises(PublishRefused):
                await broker.publish(b"job", topology.new(JOB))
            with pytest.raises(PublishRefused):
                await broker.delay(queue, b"job", 1)
            with pytest.raises(Unreachable):
                await broker.depth(queue)
        finally:
            await asyncio.to_thread(server.start)
        await is_so(lambda: broker.ready, READY_WITHIN_S)
        await broker.publish(b"job", topology.new(JOB))
        await depth_is(broker, queue, 1)


@pytest.mark.parametrize("scheme", ["amqp", "redis"])
async def test_what_is_for_a_broker_that_was_never_there_is_refused(scheme: str, topology: Topology) -> None:
    nobody = reserve_port()
    async with unready(f"{scheme}://127.0.0.1:{nobody}", topology) as broker:
        assert not broker.ready
        with pytest.raises(PublishRefused):
            await broker.publish(b"job", topology.new(JOB))
        async with broker.consume(topology.history, 1):
            assert not broker.ready


@pytest.mark.usefixtures("service_bounds")
async def test_a_lost_confirm_is_unknown_and_the_message_may_be_there(server: Server, topology: Topology) -> None:
    async with open_ready(server.url, topology) as witness, behind_a_proxy(server, topology) as (broker, proxy):
        proxy.is_deaf = True
        with pytest.raises(PublishUnknown):
            await broker.publish(b"unconfirmed", topology.new(JOB))
        proxy.is_deaf = False
        await depth_is(witness, topology.history, 1)
        await is_so(lambda: broker.ready, READY_WITHIN_S)
        await publish_until_confirmed(broker, topology, b"unconfirmed")
        await eventually(lambda: _are_there(witness, topology.history, 2))


async def test_a_connection_cut_after_the_message_is_unknown(server: Server, topology: Topology) -> None:
    async with open_ready(server.url, topology) as witness, behind_a_proxy(server, topology) as (broker, proxy):
        proxy.cuts_at = b"the last words"
        with pytest.raises(PublishUnknown):
            await broker.publish(b"the last words", topology.new(JOB))
        await is_so(lambda: broker.ready, READY_WITHIN_S)
        await broker.publish(b"the last words", topology.new(JOB))
        assert await witness.depth(topology.history) in {1, 2}


@pytest.mark.usefixtures("service_bounds")
async def test_a_frozen_server_makes_publishes_unknown_then_refused(server: Server, topology: Topology) -> None:
    async with open_ready(server.url, topology) as broker:
        with server.paused():
            with pytest.raises(PublishUnknown):
                await broker.publish(b"job", topology.new(JOB))
            await is_so(lambda: not broker.ready)
            with pytest.raises(PublishRefused):
                await broker.publish(b"job", topology.new(JOB))
        await is_so(lambda: broker.ready, READY_WITHIN_S)
        await publish_until_confirmed(broker, topology, b"job")


async def test_a_consumer_cut_off_gives_up_what_it_held_and_comes_back(server: Server, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    async with behind_a_proxy(server, topology) as (broker, proxy), broker.consume(queue, 5) as jobs:
        await broker.publish(b"job", topology.direct(queue))
        (old,) = await arrivals(jobs, 1)
        proxy.cut()
        await is_so(lambda: not old.held)
        (new,) = await arrivals(jobs, 1)
        assert (new.body, new.redelivered) == (b"job", True)
        await broker.ack(old)
        await broker.ack(new)
        await depth_is(broker, queue, 0)


async def test_a_server_that_takes_no_writes_is_refused_and_not_ready(server: Server, topology: Topology) -> None:
    async with open_ready(server.url, topology) as broker:
        await asyncio.to_thread(_stop_writes, server)
        try:
            await _publish_until_refused(broker, topology)
            await is_so(lambda: not broker.ready)
            assert broker.blocked
        finally:
            await asyncio.to_thread(_allow_writes, server)
        await is_so(lambda: broker.ready, READY_WITHIN_S)
        assert not broker.blocked
        await broker.publish(b"job", topology.new(OUTCOME))


async def test_queues_removed_under_load_come_back(server: Server, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    async with open_ready(server.url, topology, redeclare_s=0.5) as broker, broker.consume(queue, 10) as jobs:
        stopping = asyncio.Event()
        loading = asyncio.create_task(_load(broker, topology, stopping))
        await arrivals(jobs, 1)
        await remove_queues(server.url, queue, topology.history)
        await asyncio.sleep(0)
        await broker_takes(broker, topology)
        stopping.set()
        await loading
        last = await publish_until_confirmed(broker, topology, b"last")
        async with asyncio.timeout(READY_WITHIN_S):
            async for job in jobs:
                await broker.ack(job)
                if job.body == last:
                    break
        async with broker.consume(topology.history, 100) as events, asyncio.timeout(READY_WITHIN_S):
            async for event in events:
                await broker.ack(event)
                if event.body == last:
                    break


async def _are_there(broker: Broker, queue: str, least: int) -> bool:
    try:
        return await broker.depth(queue) >= least
    except Unreachable:
        return False


async def broker_takes(broker: Broker, topology: Topology) -> None:
    """Wait until both queues are there again."""
    for queue in (topology.queue("smtp", Lane.NORMAL), topology.history):
        await _answers(broker, queue)


async def _answers(broker: Broker, queue: str) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            try:
                await broker.depth(queue)
            except Unreachable:
                await asyncio.sleep(0.05)
            else:
                return


async def publish_until_confirmed(broker: Broker, topology: Topology, body: bytes) -> bytes:
    """Publish until it is confirmed."""
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            try:
                await broker.publish(body, topology.new(JOB))
            except (PublishRefused, PublishUnknown):
                await asyncio.sleep(0.05)
            else:
                return body


async def _load(broker: Broker, topology: Topology, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        await publish_until_confirmed(broker, topology, b"load")
        await asyncio.sleep(0.005)


async def _publish_until_refused(broker: Broker, topology: Topology) -> None:
    """Publish until it is refused; the first may be unknown, since the alarm is reported after it was written."""
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            try:
                await broker.publish(b"job", topology.new(OUTCOME))
            except PublishUnknown:
                continue
            except PublishRefused:
                return


def _stop_writes(server: Server) -> None:
    if isinstance(server, Rabbit):
        server.control("set_disk_free_limit", "1000000000000000")
        return
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "1")


def _allow_writes(server: Server) -> None:
    if isinstance(server, Rabbit):
        server.control("set_disk_free_limit", "50MB")
        return
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", "0")
