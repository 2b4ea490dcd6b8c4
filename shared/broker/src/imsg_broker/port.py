"""The port of the broker: RabbitMQ and Redis Streams keep the same promises."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from imsg_contract.topology import Route, Topology

MAX_BODY_BYTES = 4 * 1024 * 1024
"""The longest body a publish takes: 10,000 recipients with long addresses fit; RabbitMQ's own limit is 16 MiB."""


class PublishRefused(Exception):  # noqa: N818  named for the outcome, as its pair is
    """The message was not written, or the broker returned it: it is certainly not stored."""


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
    """A value of the adapter."""
    held: bool = field(default=True)
    """False once the broker may redeliver it (connection lost): do no more work for it."""


class Deliveries(Protocol):
    """The deliveries of a consumer, in order of arrival: one at a time, or several that have arrived."""

    def __aiter__(self) -> AsyncIterator[Delivery]:
        """Iterate over the deliveries."""

    async def __anext__(self) -> Delivery:
        """Wait for the next delivery that is still held."""

    async def take(self, most: int) -> list[Delivery]:
        """Wait for the next delivery and return it with those that have arrived, `most` in all; empty at the end."""


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a queue is."""

    depth: int
    """Messages that are ready or unacked."""
    consumers: int


class Broker(Protocol):
    """Seven verbs. Every wait in them is bounded; a lost connection is made anew with back-off, for ever.

    Messages of one publish reach all their queues or none that matters: history always hears what is new.
    """

    topology: Topology

    @property
    def ready(self) -> bool:
        """Whether it is connected, the topology is declared, and no alarm blocks it."""

    @property
    def blocked(self) -> str:
        """Why the broker accepts no publish, in its own words (memory, disk); empty where it does."""

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None = None) -> None:
        """Return once the message is on durable storage in every queue of the route.

        Raises PublishRefused (nothing kept) or PublishUnknown (may be kept).
        """

    def consume(self, queue: str, prefetch: int) -> AbstractAsyncContextManager[Deliveries]:
        """Enter to consume: at most `prefetch` deliveries unacked at once; goes on over reconnects.

        What was delivered and not acked when the connection is lost or the consumer dies is delivered again; a
        delivery that is merely slow is never given to another. Leaving hands back what is unacked, at once.
        """

    async def ack(self, delivery: Delivery) -> None:
        """Acknowledge a delivery; one that was requeued meanwhile is ignored and comes again."""

    async def delay(self, queue: str, body: bytes, step_s: int) -> None:
        """Keep a message, confirmed, to come to this work queue in `step_s` seconds (one of the topology's steps).

        Raises like publish. It does not ack: ack the delivery after everything of it is kept elsewhere.
        """

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Give a delivery to history as dead (key `dead`, headers `reason` and `queue`), confirmed, and ack it.

        Raises like publish.
        """

    async def depth(self, queue: str) -> int:
        """Count what waits in a queue: ready and unacked; of a retry step no less than waits there.

        Raises Unreachable.
        """

    async def load(self, queue: str) -> Load:
        """Count what waits in a queue, and who consumes from it now in whatever process. Raises Unreachable."""
