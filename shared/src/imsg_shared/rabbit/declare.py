"""The topology as RabbitMQ keeps it: every argument in the declaration, so that it stands without an operator."""

from collections.abc import Mapping
from types import MappingProxyType

from imsg_shared.rabbit.amqp import Channel
from imsg_shared.topology import DELIVERY_LIMIT, Topology

_QUORUM: Mapping[str, object] = MappingProxyType({"x-queue-type": "quorum", "x-overflow": "reject-publish"})
"""At-least-once dead-lettering works with reject-publish alone (with drop-head it silently falls back). There is no
max-length, so nothing is ever rejected: a nack by one of two bound queues would leave the message in the other."""


async def declare(channel: Channel, topology: Topology) -> None:
    """Declare everything; what dead-letters comes after where it goes. Raises LinkLost."""
    await channel.declare_exchange(topology.exchange)
    await channel.declare_queue(topology.history, arguments(topology, topology.history))
    await channel.bind(topology.history, topology.exchange, "#")
    for queue, key in topology.work_queues():
        await channel.declare_queue(queue, arguments(topology, queue))
        await channel.bind(queue, topology.exchange, key)
        for step_s in topology.waits_s:
            await channel.declare_queue(topology.retry(queue, step_s), waiting(queue, step_s))


async def declare_one(channel: Channel, topology: Topology, queue: str) -> None:
    """Declare one queue that is consumed, and what leads to it. Raises LinkLost."""
    keys = {topology.history: "#", **dict(topology.work_queues())}
    await channel.declare_exchange(topology.exchange)
    await channel.declare_queue(queue, arguments(topology, queue))
    await channel.bind(queue, topology.exchange, keys[queue])


def arguments(topology: Topology, queue: str) -> Mapping[str, object]:
    """Return the arguments of a queue that is consumed.

    A work queue gives what was delivered too often to history; history itself never gives up.
    """
    if queue == topology.history:
        return {**_QUORUM, "x-delivery-limit": -1}
    return {**_QUORUM, "x-delivery-limit": DELIVERY_LIMIT, **_dying_into(topology.history)}


def waiting(queue: str, step_s: int) -> Mapping[str, object]:
    """Return the arguments of a queue in which postponed jobs wait for `step_s` seconds to return to their own.

    The time stands on the queue, not on messages: a quorum queue expires at its head only.
    """
    return {**_QUORUM, "x-message-ttl": step_s * 1_000, **_dying_into(queue)}


def _dying_into(queue: str) -> Mapping[str, object]:
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
    }
