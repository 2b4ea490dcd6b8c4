"""The port of the broker: RabbitMQ and Redis Streams keep the same promises."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from imsg_contract.topology import Route, Topology

MAX_BODY_BYTES = 4 * 1024 * 1024
"""The longest body of a publish: 10,000 recipients with long addresses. RabbitMQ's own limit is 16 MiB."""


class PublishRefused(Exception):  # noqa: N818  named for the outcome, as its pair is
    """The message is certainly not stored: it was not written, or the broker returned it."""


class PublishUnknown(Exception):  # noqa: N818
    """The message may be stored: a nack, a lost connection or a time-out after writing. Repeat the same bytes."""


class Unreachable(Exception):  # noqa: N818
    """The broker can't be reached at the moment."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One message consumed from a queue, held until it is acked, dead-lettered or requeued."""

    body: bytes = field(repr=False)
    key: str
    """The routing key; the queue's name where it did not pass the exchange."""
    queue: str
    headers: Mapping[str, str]
    redelivered: bool
    """Whether a consumer may have received it before."""
    handle: object
    """The adapter's own data."""
    held: bool = field(default=True)
    """False once the broker may redeliver it, as after a lost connection: stop work on it."""


class Deliveries(Protocol):
    """The deliveries of a consumer in order of arrival, to be read singly or in batches."""

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Iterate over the deliveries."""

    async def __anext__(self) -> Delivery:
        """Wait for the next delivery that is still held."""

    async def receive_batch(self, limit: int) -> list[Delivery]:
        """Wait for a delivery and return it with those that have arrived, up to `limit`; empty at the end."""


@dataclass(frozen=True, slots=True)
class Load:
    """The depth and the consumers of a queue."""

    depth: int
    """Messages that are ready or unacked."""
    consumers: int


class Broker(Protocol):
    """A broker. Every wait is bounded; a lost connection is reopened with back-off, for ever.

    A publish reaches all queues of its route, or it raises.
    """

    topology: Topology

    @property
    def ready(self) -> bool:
        """Whether it is connected, the topology is declared, and no alarm blocks it."""

    @property
    def blocked(self) -> str:
        """The broker's reason for accepting no publish, such as `memory` or `disk`; empty where it accepts them."""

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None = None) -> None:
        """Return once the message is on durable storage in every queue of the route.

        Raises PublishRefused (not stored) or PublishUnknown (perhaps stored).
        """

    def consume(self, queue: str, prefetch: int) -> AbstractAsyncContextManager[Deliveries]:
        """Consume a queue while the context lasts, with at most `prefetch` unacked deliveries, across reconnects.

        Unacked deliveries are redelivered after the connection is lost or the consumer dies, never for being slow.
        Leaving the context requeues them at once.
        """

    async def ack(self, delivery: Delivery) -> None:
        """Acknowledge a delivery; do nothing where it was requeued meanwhile and will be redelivered."""

    async def delay(self, queue: str, body: bytes, step_s: int) -> None:
        """Publish a message that enters this work queue after `step_s` seconds, one of `topology.waits_s`.

        Raises like publish, and ValueError for another delay. It acks no delivery.
        """

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Publish a delivery to history as a dead letter (key `dead`, headers `reason` and `queue`), and ack it.

        Raises like publish.
        """

    async def depth(self, queue: str) -> int:
        """Return the number of ready and unacked messages; of a retry queue at least the number that it holds.

        Raises Unreachable.
        """

    async def load(self, queue: str) -> Load:
        """Return the depth of a queue and the number of its consumers in all processes. Raises Unreachable."""
