"""RabbitMQ alone: nacks of one of two queues, other arguments of a queue, a missing management API."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from imsg_broker import rabbitmq as rabbit_broker
from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.topology import Lane, Topology, job_key
from imsg_runtime.settings import StartError
from imsg_testing.brokers import arrivals, depth_is, management, open_ready, remove_queues, unready, vhost_of
from imsg_testing.proxy import Proxy
from imsg_testing.servers import Rabbit, reserve_port
from imsg_testing.waiting import eventually

JOB = job_key("smtp", Lane.NORMAL)


@pytest.fixture
async def url(rabbit_url: str, topology: Topology) -> AsyncIterator[str]:
    """Yield the URL of RabbitMQ; remove the queues of the test's topology afterwards."""
    yield rabbit_url
    await remove_queues(rabbit_url, f"{topology.prefix}.*")


async def test_a_nack_by_one_of_two_queues_is_unknown_since_the_other_keeps_the_message(
    url: str, topology: Topology
) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    policy = f"/policies/{vhost_of(url)}/{topology.prefix}"
    async with management(url) as client, open_ready(url, topology) as broker:
        pattern = f"^{queue.replace('.', '[.]')}$"
        full = {"pattern": pattern, "definition": {"max-length": 1}, "apply-to": "quorum_queues"}
        (await client.put(policy, json=full)).raise_for_status()
        try:
            count = await _publish_until_unknown(broker, topology)
            await depth_is(broker, topology.history, count)
        finally:
            await client.delete(policy)


async def test_every_queue_is_a_quorum_queue_that_never_drops(url: str, topology: Topology) -> None:
    async with management(url) as client, open_ready(url, topology):
        queues = (await client.get(f"/queues/{vhost_of(url)}")).json()
        ours = {queue["name"]: queue for queue in queues if queue["name"].startswith(f"{topology.prefix}.")}
    assert len(ours) == 5 + len(Lane) * (1 + len(topology.waits_s))
    for queue in ours.values():
        arguments = queue["arguments"]
        assert arguments["x-queue-type"] == "quorum"
        assert queue["durable"]
        assert arguments["x-overflow"] == "reject-publish"
        assert "x-max-length" not in arguments
        assert "x-max-length-bytes" not in arguments
        if queue["name"] not in dict(topology.sinks()):
            assert arguments["x-dead-letter-exchange"] == ""
            assert arguments["x-dead-letter-strategy"] == "at-least-once"
            assert arguments["x-dead-letter-routing-key"] in ours
    for queue, _ in topology.sinks():
        assert ours[queue]["arguments"]["x-delivery-limit"] == -1


async def test_without_the_management_api_depth_still_counts_what_this_process_holds(
    url: str, topology: Topology
) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    nobody = reserve_port()
    alone = f"{url.partition('?')[0]}?management_port={nobody}"
    async with open_ready(alone, topology) as broker, broker.consume(queue, 2) as jobs:
        for _ in range(3):
            await broker.publish(b"job", topology.direct(queue))
        await arrivals(jobs, 2)
        await depth_is(broker, queue, 3)


async def test_a_queue_of_other_arguments_keeps_us_from_being_ready(url: str, topology: Topology) -> None:
    name = quote(topology.history, safe="")
    async with management(url) as client:
        foreign = {"durable": True, "arguments": {"x-queue-type": "classic"}}
        (await client.put(f"/queues/{vhost_of(url)}/{name}", json=foreign)).raise_for_status()
    async with unready(url, topology) as broker:
        await asyncio.sleep(1)
        assert not broker.ready
        await remove_queues(url, topology.history)
        async with asyncio.timeout(60):
            while not broker.ready:  # noqa: ASYNC110  nothing tells but looking
                await asyncio.sleep(0.05)


async def test_the_first_host_that_answers_is_used(url: str, topology: Topology) -> None:
    nobody, nobody_else = reserve_port(), reserve_port()
    several = url.replace("@", f"@127.0.0.1:{nobody},localhost:{nobody_else},", 1)
    async with open_ready(several, topology) as broker:
        await broker.publish(b"job", topology.new(JOB))


async def test_a_host_that_is_lost_is_left_for_one_that_lives(rabbit: Rabbit, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    async with (
        Proxy("127.0.0.1", rabbit.amqp_port).running() as proxy,
        Proxy("127.0.0.1", rabbit.amqp_port).running() as other,
    ):
        hosts = f"127.0.0.1:{proxy.port},127.0.0.1:{other.port}"
        url = rabbit.url.replace(f"127.0.0.1:{rabbit.amqp_port}", hosts)
        async with open_ready(url, topology) as broker, broker.consume(queue, 1) as jobs:
            for away, living in ((proxy, other), (other, proxy), (proxy, other)):
                away.is_closed, living.is_closed = True, False
                away.cut()
                await eventually(lambda: _is_taken(broker, topology), 60)
                (job,) = await arrivals(jobs, 1)
                await broker.ack(job)
    await remove_queues(rabbit.url, f"{topology.prefix}.*")


async def test_unacked_messages_are_read_from_another_host_where_the_first_does_not_answer(
    rabbit: Rabbit, topology: Topology
) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    nobody = reserve_port()
    for ports in (f"{nobody},{rabbit.management_port}", f"{rabbit.management_port},{nobody}"):
        hosts = f"127.0.0.1:{rabbit.amqp_port},localhost:{rabbit.amqp_port}"
        url = f"amqp://guest:guest@{hosts}/{vhost_of(rabbit.url)}?management_port={ports}"
        async with open_ready(rabbit.url, topology) as sender, open_ready(url, topology) as gateway:
            await sender.publish(b"job", topology.direct(queue))
            async with sender.consume(queue, 1) as jobs:
                (job,) = await arrivals(jobs, 1)
                await depth_is(gateway, queue, 1)
                await sender.ack(job)
    await remove_queues(rabbit.url, f"{topology.prefix}.*")


async def test_a_rabbitmq_older_than_ours_stops_the_start(rabbit: Rabbit, topology: Topology) -> None:
    proxy = Proxy("127.0.0.1", rabbit.amqp_port)
    # The real one's greeting, with another major version in it: `version`, S for a long string, its length.
    proxy.rewrites = lambda said: re.sub(rb"(versionS....)\d\.", rb"\g<1>3.", said)
    async with proxy.running():
        with pytest.raises(StartError, match=r"IMSG_BROKER_URL: RabbitMQ 3\..* needs RabbitMQ 4\.0 or later"):
            async with rabbit_broker.connect(proxy.url(rabbit.url), topology):
                pass


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("amqp://host:99999/", "must be a number from 1 to 65535"),
        ("amqp://host/?heartbit=3", "knows no heartbit"),
        ("amqp://u:secret@host/?management_port=x", "management_port"),
    ],
)
async def test_a_wrong_url_is_one_line_that_keeps_the_password(url: str, complaint: str, topology: Topology) -> None:
    with pytest.raises(StartError, match=complaint) as error:
        async with rabbit_broker.connect(url, topology):
            pass
    assert "IMSG_BROKER_URL" in str(error.value)
    assert "secret" not in str(error.value)


async def _is_taken(broker: Broker, topology: Topology) -> bool:
    try:
        await broker.publish(b"job", topology.direct(topology.queue("smtp", Lane.NORMAL)))
    except (PublishRefused, PublishUnknown):
        return False
    return True


async def _publish_until_unknown(broker: Broker, topology: Topology) -> int:
    """Publish until the full queue nacks; a limit takes hold a moment late. Return how many were published."""
    async with asyncio.timeout(60):
        for count in itertools.count(1):
            try:
                await broker.publish(b"job", topology.new(JOB))
            except PublishUnknown:
                return count
    raise AssertionError
