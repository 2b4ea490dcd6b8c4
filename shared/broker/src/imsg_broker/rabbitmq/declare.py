"""The topology at RabbitMQ: all arguments are in the declarations, so that no operator has to set policies."""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from imsg_broker.rabbitmq.amqp import Channel, Forbidden, Link
from imsg_contract.topology import DELIVERY_LIMIT, Topology
from imsg_runtime.logs import logger

_QUORUM: Mapping[str, object] = MappingProxyType({"x-queue-type": "quorum", "x-overflow": "reject-publish"})
"""At-least-once dead-lettering works with reject-publish alone (with drop-head it silently falls back). There is no
max-length, so nothing is ever rejected: a nack by one of two bound queues would leave the message in the other."""

log = logger(__name__)


class TopologyDeclarer:
    """Declares the topology, or checks that it exists where our user may not declare.

    Where each service has a user of its own, one of them has the right to configure, and declares for all.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._may = True

    async def declare_all(self, link: Link) -> Channel:
        """Declare or find the whole topology; return the channel it was done on. Raises LinkLost, NotFound too."""
        return await self._declare_or_find(
            link, lambda channel: declare(channel, self._topology), lambda channel: find(channel, self._topology)
        )

    async def one(self, link: Link, queue: str) -> Channel:
        """Declare or find one queue that is consumed; return the channel it was done on. Raises like everything."""
        return await self._declare_or_find(
            link, lambda channel: declare_one(channel, self._topology, queue), lambda channel: _count(channel, queue)
        )

    async def _declare_or_find(
        self,
        link: Link,
        declaring: Callable[[Channel], Awaitable[None]],
        finding: Callable[[Channel], Awaitable[None]],
    ) -> Channel:
        if self._may:
            try:
                return await _on_a_channel(link, declaring)
            except Forbidden as forbidden:
                self._may = False
                log.info("declares_nothing", reason=str(forbidden), left_to="the service whose user may configure")
        return await _on_a_channel(link, finding)


async def _on_a_channel(link: Link, work: Callable[[Channel], Awaitable[None]]) -> Channel:
    """Do something on a new channel and return it; where that fails it is closed."""
    channel = await link.channel()
    try:
        await work(channel)
    except BaseException:
        await channel.close()
        raise
    return channel


async def declare(channel: Channel, topology: Topology) -> None:
    """Declare everything; what dead-letters comes after where it goes. Raises LinkLost."""
    await channel.declare_exchange(topology.exchange)
    for queue, _ in topology.sinks():
        await _declare_sink(channel, topology, queue)
    await channel.declare_queue(topology.catalog, arguments(topology, topology.catalog))
    for queue, key in topology.work_queues():
        await channel.declare_queue(queue, arguments(topology, queue))
        await channel.bind(queue, topology.exchange, key)
        for step_s in topology.waits_s:
            await channel.declare_queue(topology.retry(queue, step_s), delay_arguments(queue, step_s))


async def find(channel: Channel, topology: Topology) -> None:
    """See that everything is there. Raises NotFound where something is missing, LinkLost."""
    await channel.find_exchange(topology.exchange)
    for queue, _ in topology.sinks():
        await _count(channel, queue)
    await _count(channel, topology.catalog)
    for queue, _ in topology.work_queues():
        await _count(channel, queue)
        for step_s in topology.waits_s:
            await _count(channel, topology.retry(queue, step_s))


async def _count(channel: Channel, queue: str) -> None:
    await channel.count(queue)


async def declare_one(channel: Channel, topology: Topology, queue: str) -> None:
    """Declare one queue that is consumed, and what leads to it. Raises LinkLost."""
    await channel.declare_exchange(topology.exchange)
    if queue in dict(topology.sinks()):
        await _declare_sink(channel, topology, queue)
        return
    await channel.declare_queue(queue, arguments(topology, queue))
    if queue != topology.catalog:  # what is for the catalog goes past the exchange
        await channel.bind(queue, topology.exchange, dict(topology.work_queues())[queue])


async def _declare_sink(channel: Channel, topology: Topology, queue: str) -> None:
    """Declare a queue that is bound to several keys. Raises LinkLost."""
    await channel.declare_queue(queue, arguments(topology, queue))
    for key in dict(topology.sinks())[queue]:
        await channel.bind(queue, topology.exchange, key)


def arguments(topology: Topology, queue: str) -> Mapping[str, object]:
    """Return the arguments of a queue that is consumed.

    A work queue gives what was delivered too often to history; history itself never gives up, nor does callbacks.
    """
    if queue in dict(topology.sinks()):
        return {**_QUORUM, "x-delivery-limit": -1}
    return {**_QUORUM, "x-delivery-limit": DELIVERY_LIMIT, **_dead_letter_to(topology.history)}


def delay_arguments(queue: str, step_s: int) -> Mapping[str, object]:
    """Return the arguments of a queue in which delayed jobs wait for `step_s` seconds to return to their own.

    The time stands on the queue, not on messages: a quorum queue expires at its head only.
    """
    return {**_QUORUM, "x-message-ttl": step_s * 1_000, **_dead_letter_to(queue)}


def _dead_letter_to(queue: str) -> Mapping[str, object]:
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
    }
