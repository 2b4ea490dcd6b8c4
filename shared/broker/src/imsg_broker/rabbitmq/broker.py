"""The broker port on RabbitMQ, with a connection to publish and one to consume."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from imsg_broker.deliveries import Deliveries
from imsg_broker.port import Broker, Delivery, Load
from imsg_broker.rabbitmq.address import Address, parse
from imsg_broker.rabbitmq.alarm_probe import probe
from imsg_broker.rabbitmq.amqp import OLDEST_MAJOR, LinkLost, TooOld, wait_for_first
from imsg_broker.rabbitmq.connection import Reconnector
from imsg_broker.rabbitmq.consumer import Consumer, acknowledge
from imsg_broker.rabbitmq.declare import TopologyDeclarer
from imsg_broker.rabbitmq.depth import Depths, Management
from imsg_broker.rabbitmq.publisher import Publisher
from imsg_broker.rabbitmq.tls import URL
from imsg_broker.tasks import end, find_failure, run_consumer
from imsg_contract.topology import DEAD, Route, Topology
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.settings import StartError

log = logger(__name__)

REDECLARE_S = 30.0
"""The time between declarations of the topology, part of which an operator may have deleted."""

FIRST_CONNECT_S = 2.0
"""How long a start waits for the first connection; it goes on without one."""

MAX_REASON = 2_000
"""The most characters of a dead letter's reason: all headers of a message must fit into one frame."""


class RabbitBroker:
    """The broker port on RabbitMQ. An alarm blocks connections that publish, so consumers have their own."""

    def __init__(self, address: Address, topology: Topology, redeclare_s: float) -> None:
        self.topology = topology
        self._redeclare_s = redeclare_s
        name = f"imsg:{os.getpid()}"
        self._declarer = TopologyDeclarer(topology)
        self._publisher = Publisher(self._declarer)
        self._publishing = Reconnector(address, f"{name}:publish", self._publisher.prepare)
        self._consuming = Reconnector(address, f"{name}:consume")
        self._consumers: set[Consumer] = set()
        self._management = Management(address, topology.prefix)
        self._depths = Depths(self._consuming, self._count_held, self._management)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def ready(self) -> bool:
        """Whether it is connected, declared and not blocked by an alarm, and every consumer consumes."""
        return (
            self._publisher.is_ready
            and all(consumer.is_consuming for consumer in self._consumers)
            and not any(task.done() for task in self._tasks.values())
        )

    @property
    def blocked(self) -> str:
        """The reason of the alarm that blocks publishing; empty without one."""
        return self._publisher.blocked

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None = None) -> None:
        """Publish, confirmed. Raises PublishRefused or PublishUnknown."""
        await self._publisher.publish(body, route, headers)

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator[Deliveries]:
        """Consume a queue while the context lasts; leaving it requeues unacked deliveries."""
        self._watch("consume", self._consuming.run)
        consumer = Consumer(
            self._consuming,
            self.topology,
            self._declarer,
            queue,
            prefetch,
            on_queue_gone=self._publisher.queue_missing.set,
        )
        async with run_consumer(consumer, self._consumers, queue) as deliveries:
            yield deliveries

    async def ack(self, delivery: Delivery) -> None:
        """Ack a delivery; do nothing where it was requeued meanwhile."""
        acknowledge(delivery)

    async def delay(self, queue: str, body: bytes, step_s: int) -> None:
        """Publish into the retry queue of this delay. Raises like publish, and ValueError for an unknown delay."""
        if step_s not in self.topology.waits_s:
            raise ValueError(f"{step_s} s is none of the delays {self.topology.waits_s}")
        await self.publish(body, self.topology.direct(self.topology.retry(queue, step_s)))

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Publish to history as dead, then ack. Raises like publish."""
        headers = {"reason": reason[:MAX_REASON], "queue": delivery.queue}
        await self.publish(delivery.body, self.topology.new(DEAD), headers)
        await self.ack(delivery)

    async def depth(self, queue: str) -> int:
        """Return the number of ready and unacked messages. Raises Unreachable."""
        return (await self.load(queue)).depth

    async def load(self, queue: str) -> Load:
        """Return the depth and the number of consumers. Raises Unreachable."""
        await self._connect_to_consume()
        return await self._depths.of(queue)

    def start(self, *, probes_alarms: bool) -> None:
        """Begin to connect."""
        self._watch("publish", self._publishing.run)
        if probes_alarms:
            self._watch("probe", lambda: probe(self._publishing, self.topology.exchange))
        self._watch("declare", self._redeclare)

    async def wait_for_first_answer(self) -> None:
        """Wait up to `FIRST_CONNECT_S` for the first connection. Raises StartError if RabbitMQ is too old."""
        first_connect = self._publishing.first_connect
        await wait_for_first(first_connect, timeout_s=FIRST_CONNECT_S)
        if first_connect.done() and isinstance(old := first_connect.result(), TooOld):
            raise StartError(
                "{0}: {1}; iMSG needs RabbitMQ {2}.0 or later. Upgrade it, or name another.", URL, old, OLDEST_MAJOR
            ) from old

    async def close(self) -> None:
        """Close both connections."""
        await asyncio.gather(*(end(task) for task in self._tasks.values()))
        await self._management.close()

    async def _connect_to_consume(self) -> None:
        """Open the consuming connection if it is not open; wait up to `FIRST_CONNECT_S` for the first attempt."""
        self._watch("consume", self._consuming.run)
        if not self._consuming.first_connect.done():
            await wait_for_first(self._consuming.first_connect, timeout_s=FIRST_CONNECT_S)

    def _count_held(self, queue: str) -> int:
        return sum(len(consumer.deliveries) for consumer in self._consumers if consumer.queue == queue)

    def _watch(self, name: str, work: Any) -> None:  # noqa: ANN401
        if name not in self._tasks:
            coroutine: Coroutine[Any, Any, None] = work()
            self._tasks[name] = asyncio.create_task(coroutine, name=f"rabbit:{name}")
            self._tasks[name].add_done_callback(_report)

    async def _redeclare(self) -> None:
        """Declare the topology every `redeclare_s` seconds, and at once when a queue is missing."""
        problem = RecurringProblem(log, "declare_failed")
        while True:
            queue_missing = await _wait_for_event(self._publisher.queue_missing, self._redeclare_s)
            self._publisher.queue_missing.clear()
            link = await self._publishing.up()
            with problem.catch(LinkLost):
                await (await self._declarer.declare_all(link)).close()
            if queue_missing:
                await asyncio.sleep(1)  # many returned messages cause one declaration


@asynccontextmanager
async def connect(
    url: str, topology: Topology, *, redeclare_s: float = REDECLARE_S, probes_alarms: bool = False
) -> AsyncIterator[Broker]:
    """Open RabbitMQ while the context lasts; it may connect later, see `ready`.

    With `probes_alarms` an alarm is detected before a message is published.
    Raises StartError for a malformed URL, unreadable certificates, and a RabbitMQ that is too old.
    """
    try:
        address = parse(url)
        if address.tls is not None:
            address.tls.context()
    except ValueError as error:
        raise StartError("{0}: {1}.", URL, error) from error
    broker = RabbitBroker(address, topology, redeclare_s)
    broker.start(probes_alarms=probes_alarms)
    try:
        await broker.wait_for_first_answer()
        yield broker
    finally:
        await broker.close()


async def _wait_for_event(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            return await event.wait()
    except TimeoutError:
        return False


def _report(task: asyncio.Task[None]) -> None:
    if (error := find_failure(task)) is not None:
        log.error("task_died", task=task.get_name(), exc_info=error)
