"""Consumers: each has a channel, which is reopened after the loss of the connection or the queue."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from imsg_broker.deliveries import Deliveries
from imsg_broker.port import Delivery
from imsg_broker.rabbitmq.amqp import Channel, LinkLost, wait_for_first
from imsg_broker.rabbitmq.connection import STABLE_S, Backoff, Reconnector
from imsg_broker.rabbitmq.declare import TopologyDeclarer
from imsg_contract.topology import DEAD, Topology
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Handle:
    """The channel and the tag by which a delivery is acked."""

    consumer: "Consumer"
    channel: Channel
    tag: int


class Consumer:
    """One consumer of one queue."""

    def __init__(
        self,
        reconnector: Reconnector,
        topology: Topology,
        declarer: TopologyDeclarer,
        queue: str,
        prefetch: int,
        *,
        on_queue_gone: Callable[[], None],
    ) -> None:
        self.queue = queue
        self.deliveries = Deliveries()
        self._reconnector = reconnector
        self._topology = topology
        self._declarer = declarer
        self._prefetch = prefetch
        self._on_queue_gone = on_queue_gone
        self._channel: Channel | None = None

    @property
    def is_consuming(self) -> bool:
        """Whether its channel consumes now."""
        return self._channel is not None

    async def run(self) -> None:
        """Consume until cancelled, across every loss of connection, channel and queue."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        problem = RecurringProblem(log, "consumer_lost", queue=self.queue)
        while True:
            link = await self._reconnector.up()
            began = loop.time()
            try:
                await self._consume(await self._declarer.declare_queue(link, self.queue))
            except LinkLost as lost:
                if loop.time() - began > STABLE_S:
                    problem.clear()
                problem.report(lost)
            if loop.time() - began > STABLE_S:
                backoff.reset()
            await backoff.pause()

    async def _consume(self, channel: Channel) -> None:
        cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_delivery(
            tag: int,
            key: str,
            redelivered: bool,  # noqa: FBT001  AMQP's own fields, in its order
            headers: Mapping[str, object],
            body: bytes,
        ) -> None:
            if self._channel is channel:
                self.deliveries.add(self._delivery(channel, tag, key, headers, body, redelivered=redelivered))

        def on_cancel() -> None:
            if not cancelled.done():
                cancelled.set_result(None)

        try:
            self._channel = channel
            await channel.consume(self.queue, self._prefetch, on_delivery, on_cancel)
            await wait_for_first(channel.lost, cancelled)
            if cancelled.done():
                log.warning("queue_gone", queue=self.queue)
                self._on_queue_gone()
        finally:
            self._channel = None
            self.deliveries.drop_all()
            await channel.close()  # the broker requeues unacked deliveries at once

    def _delivery(
        self,
        channel: Channel,
        tag: int,
        key: str,
        headers: Mapping[str, object],
        body: bytes,
        *,
        redelivered: bool,
    ) -> Delivery:
        texts = {name: _text(value) for name, value in headers.items()} if headers else {}
        if self.queue == self._topology.history and "x-death" in texts:
            # RabbitMQ dead-lettered it at the delivery limit: deliver it like other dead letters.
            key = DEAD
            texts = {"reason": texts.get("x-last-death-reason", "dead-lettered"), **_origin(texts), **texts}
        handle = _Handle(self, channel, tag)
        return Delivery(body, key, self.queue, texts, redelivered or "x-delivery-count" in texts, handle)


def acknowledge(delivery: Delivery) -> None:
    """Ack a delivery on its channel; do nothing where it was requeued meanwhile."""
    handle = delivery.handle
    if not isinstance(handle, _Handle):
        raise TypeError("this delivery came from another broker")
    if handle.consumer.deliveries.settle(delivery):
        handle.channel.ack(handle.tag)


def _origin(texts: Mapping[str, str]) -> Mapping[str, str]:
    queue = texts.get("x-last-death-queue") or texts.get("x-first-death-queue")
    return {"queue": queue} if queue else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)
