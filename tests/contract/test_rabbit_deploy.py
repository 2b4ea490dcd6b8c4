"""The files of deploy/rabbitmq/ on a real node: it accepts them, and they agree with the queues' arguments."""

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import structlog.testing

from imsg_broker.port import MAX_BODY_BYTES
from imsg_broker.rabbitmq.address import parse
from imsg_broker.rabbitmq.depth import Management
from imsg_channels import METHODS
from imsg_contract.topology import Lane, Topology, job_key
from imsg_testing.brokers import arrivals, depth_is, is_so, management, open_ready, remove_queues
from imsg_testing.servers import Rabbit
from imsg_testing.servers.rabbit import DEPLOY, read_shipped
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.release

POLICIES = DEPLOY / "policies.json"


@pytest.fixture(scope="module")
def operated() -> Iterator[Rabbit]:
    """Run a node as deploy/rabbitmq/ would have it."""
    # Where the disk is nearly full the node would block, which is not what is looked at here.
    extra = [line for line in read_shipped("imsg.conf") if not line.startswith("disk_free_limit")]
    with Rabbit(extra=extra) as rabbit:
        rabbit.control("import_definitions", str(POLICIES))
        yield rabbit


async def test_the_policy_applies_to_every_queue_of_ours(operated: Rabbit) -> None:
    (policy,) = json.loads(POLICIES.read_text())["policies"]
    async with open_ready(operated.url, Topology(methods=METHODS)):
        await _every_queue_has(operated, policy)


async def test_a_policy_for_everybody_does_not_reach_ours(operated: Rabbit) -> None:
    """A catch-all with a limit would have imsg.history drop what it was handed back five times."""
    (policy,) = json.loads(POLICIES.read_text())["policies"]
    catch_all = {"pattern": ".*", "definition": {"delivery-limit": 5, "max-length": 10}, "priority": 50}
    async with management(operated.url) as client, open_ready(operated.url, Topology(methods=METHODS)):
        (await client.put("/policies/%2F/everybody", json=catch_all | {"apply-to": "all"})).raise_for_status()
        await _every_queue_has(operated, policy)
        assert (await _queues(operated))["imsg.history"]["delivery_limit"] in (-1, "unlimited")
        (await client.delete("/policies/%2F/everybody")).raise_for_status()


async def test_a_policy_that_contradicts_us_is_reported_to_the_operator(operated: Rabbit, topology: Topology) -> None:
    worse = {"pattern": f"^{topology.prefix}", "apply-to": "all", "definition": {"delivery-limit": 5}, "priority": 200}
    async with management(operated.url) as client:
        (await client.put("/policies/%2F/worse", json=worse)).raise_for_status()
        address = parse(operated.url)
        looking = Management(
            address, topology.prefix, policies_every_s=0.1
        )  # the gateway's, but that it looks once a minute
        with structlog.testing.capture_logs() as logged:
            async with open_ready(operated.url, topology):

                async def is_told() -> bool:
                    await looking.count_unacked(address.hosts[0], topology.history)
                    return any(line["event"] == "policy_contradicts" for line in logged)

                await eventually(is_told, 60)
        await looking.close()
        (await client.delete("/policies/%2F/worse")).raise_for_status()
    (told,) = (line for line in logged if line["event"] == "policy_contradicts")
    assert (told["policy"], told["keys"]) == ("worse", ["delivery-limit"])


async def test_the_rights_that_the_manual_gives_are_enough(operated: Rabbit, topology: Topology) -> None:
    """Everything the services do, as a user who may do no more; the names are those of a real iMSG."""
    manual = (DEPLOY.parents[1] / "docs" / "rabbitmq.md").read_text()
    for line in re.findall(r"^rabbitmqctl (\w+_(?:user|user_tags|permissions) .+)$", manual, re.MULTILINE):
        operated.control(*shlex.split(line.replace("$PASSWORD", "secret")))
    real = Topology(methods=METHODS, steps_s=topology.steps_s, query_steps_s=())
    queue = real.queue("smtp", Lane.NORMAL)
    url = operated.url.replace("guest:guest", "imsg:secret")
    await remove_queues(operated.url, "imsg.*")
    async with (
        open_ready(url, real) as broker,
        open_ready(url, real) as gateway,
        broker.consume(queue, 3) as jobs,
        broker.consume(real.history, 10) as events,
    ):
        await broker.publish(b"job", real.new(job_key("smtp", Lane.NORMAL)))
        (job,) = await arrivals(jobs, 1)
        await depth_is(gateway, queue, 1)  # told by the management API
        await broker.delay(queue, b"again", 1)
        (again,) = await arrivals(jobs, 1)
        await broker.dead_letter(again, "why not")
        await broker.ack(job)
        assert [event.key for event in await arrivals(events, 2)] == ["job.smtp.normal", "dead"]
    await remove_queues(operated.url, "imsg.*")


def test_no_policy_sets_an_argument_of_a_queue() -> None:
    """RabbitMQ takes the smaller of two limits, so a policy could undo what the queues stand on."""
    arguments = {"max-length", "max-length-bytes", "delivery-limit", "overflow", "message-ttl", "expires"}
    for policy in json.loads(POLICIES.read_text())["policies"]:
        said = policy["definition"].keys()
        assert said.isdisjoint(arguments)
        assert not any(name.startswith("dead-letter") for name in said)


def test_the_configuration_is_in_force(operated: Rabbit) -> None:
    said = dict(line.split(" = ") for line in read_shipped("imsg.conf"))
    for name, value in (
        ("consumer_timeout", said["consumer_timeout"]),
        ("max_message_size", said["max_message_size"]),
        ("queue_leader_locator", f'<<"{said["queue_leader_locator"]}">>'),
    ):
        assert operated.control("eval", f"application:get_env(rabbit, {name}).").strip() == f"{{ok,{value}}}"
    wal = operated.control("eval", "application:get_env(ra, wal_max_size_bytes).").strip()
    assert wal == f"{{ok,{said['raft.wal_max_size_bytes']}}}"
    assert int(said["max_message_size"]) > MAX_BODY_BYTES


async def test_a_delivery_held_longer_than_the_consumer_timeout_comes_again_by_itself(
    operated: Rabbit, topology: Topology
) -> None:
    queue = topology.queue("smtp", Lane.NORMAL)
    impatient = {
        "pattern": f"^{topology.prefix}",
        "apply-to": "quorum_queues",
        "definition": {"consumer-timeout": 1000},
    }
    operated.control("eval", "application:set_env(rabbit, channel_tick_interval, 500).")
    async with management(operated.url) as client, open_ready(operated.url, topology) as broker:
        (await client.put("/policies/%2F/impatient", json=impatient)).raise_for_status()
        await broker.publish(b"slow", topology.direct(queue))
        async with broker.consume(queue, 1) as jobs:
            (held,) = await arrivals(jobs, 1)
            await is_so(lambda: not held.held, 60)
            await broker.ack(held)

            async def take_again() -> None:
                async for again in jobs:
                    assert (again.body, again.redelivered) == (b"slow", True)
                    await broker.ack(again)  # it comes once more where the machine stood still over it for a second

            taking = asyncio.create_task(take_again())
            await depth_is(broker, queue, 0)
        await taking


async def test_the_management_s_own_numbers_are_our_depth(operated: Rabbit, topology: Topology) -> None:
    queue = topology.queue("smtp", Lane.BULK)
    async with open_ready(operated.url, topology) as sender, open_ready(operated.url, topology) as gateway:
        for _ in range(9):
            await sender.publish(b"part", topology.direct(queue))
        async with sender.consume(queue, 4) as parts:
            await arrivals(parts, 4)
            await depth_is(gateway, queue, 9)

            async def tells() -> bool:
                told = (await _queues(operated))[queue]
                return (told.get("messages_ready"), told.get("messages_unacknowledged")) == (5, 4)

            await eventually(tells, 60)


async def _queues(node: Rabbit) -> dict[str, Any]:
    async with management(node.url) as client:
        return {queue["name"]: queue for queue in (await client.get("/queues/%2F")).json()}


async def _every_queue_has(node: Rabbit, policy: dict[str, Any]) -> None:
    """Wait until our queues, and there are all of them, are under a policy and no other."""
    topology = Topology(methods=METHODS)
    own = {topology.catalog, *(queue for queue, _ in topology.sinks())}
    count = len(own) + len(list(topology.work_queues())) * (1 + len(topology.waits_s))
    ours: list[Any] = []
    async with asyncio.timeout(60):
        while len(ours) != count or any(queue.get("policy") != policy["name"] for queue in ours):
            await asyncio.sleep(0.2)
            ours = [queue for name, queue in (await _queues(node)).items() if name.startswith("imsg.")]
    for queue in ours:
        assert queue["effective_policy_definition"] == policy["definition"]
