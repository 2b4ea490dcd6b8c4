"""RabbitMQ behind the broker port: two connections, one that publishes and one that consumes."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from imsg_broker.deliveries import Deliveries
from imsg_broker.port import Broker, Delivery, Load
from imsg_broker.rabbitmq.address import Address, parse
from imsg_broker.rabbitmq.alarm_probe import probe
from imsg_broker.rabbitmq.amqp import OLDEST_MAJOR, LinkLost, TooOld, first_of
from imsg_broker.rabbitmq.connection import Life
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
"""How often the topology is declared again, in case an operator removed part of it."""

MEET_S = 2.0
"""How long a start waits for the broker to answer; a broker that is unavailable then does not stop the start."""

MAX_REASON = 2_000
"""Characters of the reason of a dead letter: all headers of a message must fit into one frame."""


class RabbitBroker:
    """The broker port on RabbitMQ. RabbitMQ blocks publishing connections only, so consumers have their own."""

    def __init__(self, address: Address, topology: Topology, redeclare_s: float) -> None:
        self.topology = topology
        self._redeclare_s = redeclare_s
        name = f"imsg:{os.getpid()}"
        self._declaring = TopologyDeclarer(topology)
        self._publisher = Publisher(self._declaring)
        self._publishing = Life(address, f"{name}:publish", self._publisher.prepare)
        self._consuming = Life(address, f"{name}:consume")
        self._consumers: set[Consumer] = set()
        self._management = Management(address, topology.prefix)
        self._depths = Depths(self._consuming, self._count_held, self._management)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def ready(self) -> bool:
        """Connected, the whole topology declared, not blocked by an alarm, and every consumer consuming."""
        return (
            self._publisher.is_ready
            and all(consumer.is_consuming for consumer in self._consumers)
            and not any(task.done() for task in self._tasks.values())
        )

    @property
    def blocked(self) -> str:
        """The alarm that blocks publishing, in RabbitMQ's words; empty without one."""
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
            self._declaring,
            queue,
            prefetch,
            on_queue_gone=self._publisher.missed.set,
        )
        async with run_consumer(consumer, self._consumers, queue) as deliveries:
            yield deliveries

    async def ack(self, delivery: Delivery) -> None:
        """Ack a delivery; nothing where it was handed back meanwhile."""
        acknowledge(delivery)

    async def delay(self, queue: str, body: bytes, step_s: int) -> None:
        """Publish into the retry queue of a step. Raises like publish."""
        if step_s not in self.topology.waits_s:
            raise ValueError(f"{step_s} s is none of the steps {self.topology.waits_s}")
        await self.publish(body, self.topology.direct(self.topology.retry(queue, step_s)))

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Publish to history as dead, then ack. Raises like publish."""
        headers = {"reason": reason[:MAX_REASON], "queue": delivery.queue}
        await self.publish(delivery.body, self.topology.new(DEAD), headers)
        await self.ack(delivery)

    async def depth(self, queue: str) -> int:
        """Count ready and unacked. Raises Unreachable."""
        return (await self.load(queue)).depth

    async def load(self, queue: str) -> Load:
        """Count what waits and who consumes. Raises Unreachable."""
        await self._connect_to_consume()
        return await self._depths.of(queue)

    def start(self, *, probes_alarms: bool) -> None:
        """Begin to connect."""
        self._watch("publish", self._publishing.run)
        if probes_alarms:
            self._watch("probe", lambda: probe(self._publishing, self.topology.exchange))
        self._watch("declare", self._keep_declared)

    async def wait_for_first_answer(self) -> None:
        """Wait for the first answer, a few seconds at most. Raises StartError where RabbitMQ is too old."""
        met = self._publishing.met
        await first_of(met, timeout_s=MEET_S)
        if met.done() and isinstance(old := met.result(), TooOld):
            raise StartError(
                f"{URL}: {old}; iMSG needs RabbitMQ {OLDEST_MAJOR}.0 or later. Upgrade it, or name another."
            ) from old

    async def close(self) -> None:
        """End both connections."""
        await asyncio.gather(*(end(task) for task in self._tasks.values()))
        await self._management.close()

    async def _connect_to_consume(self) -> None:
        """Open the connection for consumers, where it is not open; the first caller waits for its first try."""
        self._watch("consume", self._consuming.run)
        if not self._consuming.met.done():
            await first_of(self._consuming.met, timeout_s=MEET_S)

    def _count_held(self, queue: str) -> int:
        return sum(len(consumer.deliveries) for consumer in self._consumers if consumer.queue == queue)

    def _watch(self, name: str, work: Any) -> None:  # noqa: ANN401
        if name not in self._tasks:
            coroutine: Coroutine[Any, Any, None] = work()
            self._tasks[name] = asyncio.create_task(coroutine, name=f"rabbit:{name}")
            self._tasks[name].add_done_callback(_report)

    async def _keep_declared(self) -> None:
        """Declare the topology again from time to time, and soon after a queue is found missing."""
        problem = RecurringProblem(log, "declare_failed")
        while True:
            missed = await _wait_for_event(self._publisher.missed, self._redeclare_s)
            self._publisher.missed.clear()
            link = await self._publishing.up()
            try:
                await (await self._declaring.declare_all(link)).close()
            except LinkLost as lost:
                problem.note(lost)
            else:
                problem.clear()
            if missed:
                await asyncio.sleep(1)  # one flood of returns is one declaration


@asynccontextmanager
async def connect(
    url: str, topology: Topology, *, redeclare_s: float = REDECLARE_S, probes_alarms: bool = False
) -> AsyncIterator[Broker]:
    """Open RabbitMQ for as long as the context lasts; `ready` tells when it is connected, now or later.

    `probes_alarms` finds out about an alarm before a message does.

    Raises StartError where the URL can't be read, or who answers there is too old.
    """
    try:
        address = parse(url)
        if address.tls is not None:
            address.tls.context()
    except ValueError as error:
        raise StartError(f"{URL}: {error}.") from error
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
