"""Declaration of the topology at RabbitMQ, with all queue arguments, so that it needs no policies."""

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
    """Declares the topology, or checks that it exists where the user has no right to configure.

    Where each service has its own user, one of them has that right and declares for all.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._may_declare = True

    async def declare_all(self, link: Link) -> Channel:
        """Declare or check the whole topology; return the channel that was used. Raises LinkLost, NotFound."""
        return await self._declare_or_find(
            link, lambda channel: declare(channel, self._topology), lambda channel: find(channel, self._topology)
        )

    async def declare_queue(self, link: Link, queue: str) -> Channel:
        """Declare or check one consumed queue; return the channel that was used. Raises LinkLost, NotFound."""
        return await self._declare_or_find(
            link, lambda channel: declare_one(channel, self._topology, queue), lambda channel: _count(channel, queue)
        )

    async def _declare_or_find(
        self,
        link: Link,
        declare: Callable[[Channel], Awaitable[None]],
        find: Callable[[Channel], Awaitable[None]],
    ) -> Channel:
        if self._may_declare:
            try:
                return await _run_on_channel(link, declare)
            except Forbidden as forbidden:
                self._may_declare = False
                log.info("declares_nothing", reason=str(forbidden), left_to="the service whose user may configure")
        return await _run_on_channel(link, find)


async def _run_on_channel(link: Link, work: Callable[[Channel], Awaitable[None]]) -> Channel:
    """Run `work` on a new channel and return the channel; close it if `work` raises."""
    channel = await link.channel()
    try:
        await work(channel)
    except BaseException:
        await channel.close()
        raise
    return channel


async def declare(channel: Channel, topology: Topology) -> None:
    """Declare the exchange, queues and bindings, dead-letter targets first. Raises LinkLost."""
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
    """Check that the exchange and all queues exist. Raises NotFound, LinkLost."""
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
    """Declare one consumed queue, the exchange and the binding. Raises LinkLost."""
    await channel.declare_exchange(topology.exchange)
    if queue in dict(topology.sinks()):
        await _declare_sink(channel, topology, queue)
        return
    await channel.declare_queue(queue, arguments(topology, queue))
    if queue != topology.catalog:  # published to directly
        await channel.bind(queue, topology.exchange, dict(topology.work_queues())[queue])


async def _declare_sink(channel: Channel, topology: Topology, queue: str) -> None:
    """Declare a queue that is bound to several keys. Raises LinkLost."""
    await channel.declare_queue(queue, arguments(topology, queue))
    for key in dict(topology.sinks())[queue]:
        await channel.bind(queue, topology.exchange, key)


def arguments(topology: Topology, queue: str) -> Mapping[str, object]:
    """Return the arguments of a consumed queue.

    A work queue dead-letters to history after `DELIVERY_LIMIT` deliveries; those of history and callbacks never do.
    """
    if queue in dict(topology.sinks()):
        return {**_QUORUM, "x-delivery-limit": -1}
    return {**_QUORUM, "x-delivery-limit": DELIVERY_LIMIT, **_dead_letter_to(topology.history)}


def delay_arguments(queue: str, step_s: int) -> Mapping[str, object]:
    """Return the arguments of a retry queue: its messages return to `queue` after `step_s` seconds.

    The TTL is the queue's, not the messages': a quorum queue expires messages at its head only.
    """
    return {**_QUORUM, "x-message-ttl": step_s * 1_000, **_dead_letter_to(queue)}


def _dead_letter_to(queue: str) -> Mapping[str, object]:
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
    }
