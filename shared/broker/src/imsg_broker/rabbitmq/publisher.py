"""Publishing on one channel with many confirms in flight."""

import asyncio
from collections.abc import Mapping

from imsg_broker.port import MAX_BODY_BYTES, PublishRefused, PublishUnknown
from imsg_broker.rabbitmq.amqp import Channel, Link, LinkLost
from imsg_broker.rabbitmq.declare import TopologyDeclarer
from imsg_contract.topology import Route

MAX_IN_FLIGHT = 512
"""The most publishes without a confirm: pika's own buffer has no bound."""

SLOT_TIMEOUT_S = 1.0
"""How long a publish waits for a slot before it is refused."""

CONFIRM_TIMEOUT_S = 5.0
"""How long a confirm may take; a healthy quorum queue needs up to hundreds of milliseconds under load."""

BLOCKED_CONFIRM_S = 1.0
"""How long a confirm may take once an alarm has begun. RabbitMQ confirms what it has read by then, and reads the rest
after the alarm."""


class _ConfirmChannel:
    """A channel in confirm mode; when it or its connection is lost, publishes in flight are unknown."""

    def __init__(self, link: Link, channel: Channel) -> None:
        self.link = link
        self.slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._in_flight: dict[int, tuple[asyncio.Future[None], float]] = {}
        self._tag = 0
        self._returned: set[int] = set()
        self._confirmed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        channel.lost.add_done_callback(self._on_lost)
        link.on_blocked = self._on_blocked

    @property
    def is_open(self) -> bool:
        return self._channel.is_open

    def send(self, body: bytes, route: Route, headers: Mapping[str, str] | None) -> asyncio.Future[None]:
        """Write a publish and return the future of its confirm. Raises LinkLost if nothing was written.

        The future raises PublishRefused, PublishUnknown. The caller has acquired `slots`, which is released with the
        future's result.
        """
        tag = self._tag + 1
        self._channel.publish(route.exchange, route.key, body, str(tag), headers)
        self._tag = tag  # counted as the broker does
        future: asyncio.Future[None] = self._loop.create_future()
        self._in_flight[tag] = (future, self._loop.time())
        if self._timer is None:
            self._timer = self._loop.call_later(CONFIRM_TIMEOUT_S, self._expire_late)
        return future

    def on_return(self, message_id: str) -> None:
        """Record that a message was unroutable; its confirm follows."""
        self._returned.add(int(message_id))

    def on_confirm(self, tag: int, multiple: bool, acked: bool) -> None:  # noqa: FBT001  AMQP's own fields
        """Settle a publish, or all up to it; ignore one that has expired."""
        self._confirmed_at = self._loop.time()
        if not multiple:
            self._settle(tag, acked=acked)
            return
        for earlier in [in_flight for in_flight in self._in_flight if in_flight <= tag]:
            self._settle(earlier, acked=acked)

    def _settle(self, tag: int, *, acked: bool) -> None:
        if not acked:
            # A nack by one of two bound queues leaves the message in the other.
            self._end(tag, PublishUnknown("RabbitMQ could not store it in every queue"))
        elif tag in self._returned:
            self._returned.remove(tag)
            self._end(tag, PublishRefused("RabbitMQ has no queue for it"))
        else:
            self._end(tag, None)

    def _end(self, tag: int, error: Exception | None) -> None:
        future, _ = self._in_flight.pop(tag, (None, 0.0))
        if future is None:
            return
        self.slots.release()
        if future.done():  # its caller was cancelled
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _expire_late(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = [tag for tag, (_, sent_at) in self._in_flight.items() if sent_at <= now - CONFIRM_TIMEOUT_S]
        for tag in late:
            self._end(tag, PublishUnknown(f"RabbitMQ did not confirm within {CONFIRM_TIMEOUT_S:.0f} s"))
        if late and self._confirmed_at <= now - CONFIRM_TIMEOUT_S and not self.link.blocked:
            self.link.abort("no confirm came: the connection is in doubt")
        if self._in_flight:
            oldest = next(iter(self._in_flight.values()))[1]
            self._timer = self._loop.call_at(oldest + CONFIRM_TIMEOUT_S, self._expire_late)

    def _on_blocked(self) -> None:
        blocked_at = self._loop.time()
        self._loop.call_later(BLOCKED_CONFIRM_S, self._expire_unread, blocked_at)

    def _expire_unread(self, blocked_at: float) -> None:
        """End publishes from before an alarm as unknown: RabbitMQ may store them after it."""
        if not self.link.blocked:
            return
        for tag in [tag for tag, (_, sent_at) in self._in_flight.items() if sent_at <= blocked_at]:
            self._end(tag, PublishUnknown(f"RabbitMQ is blocked by an alarm: {self.link.blocked}"))

    def _on_lost(self, lost: asyncio.Future[LinkLost]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for tag in list(self._in_flight):
            self._end(tag, PublishUnknown(f"the connection was lost before the confirm: {lost.result()}"))
        self.link.abort("the publishing channel was lost")


class Publisher:
    """Publishes on the current connection, once the topology is declared there."""

    def __init__(self, declarer: TopologyDeclarer) -> None:
        self._declarer = declarer
        self._confirm_channel: _ConfirmChannel | None = None
        self.queue_missing = asyncio.Event()
        """Set when a message was unroutable: the topology has to be declared."""

    @property
    def is_ready(self) -> bool:
        """Whether it is connected, declared and not blocked by an alarm."""
        channel = self._confirm_channel
        return channel is not None and channel.is_open and not channel.link.blocked

    @property
    def blocked(self) -> str:
        """The reason of the alarm that blocks publishing; empty without one."""
        channel = self._confirm_channel
        return channel.link.blocked if channel is not None and channel.is_open else ""

    async def prepare(self, link: Link) -> None:
        """Declare the topology on a new connection and turn on confirms. Raises LinkLost."""
        self._confirm_channel = None
        channel = await self._declarer.declare_all(link)
        confirmed = _ConfirmChannel(link, channel)
        await channel.confirm(confirmed.on_confirm, lambda message_id: self._on_return(confirmed, message_id))
        self._confirm_channel = confirmed

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None) -> None:
        """Publish, and return when every queue of the route has stored the message.

        Raises PublishRefused (not stored) or PublishUnknown (perhaps stored).
        """
        if len(body) > MAX_BODY_BYTES:
            raise PublishRefused(f"a message is at most {MAX_BODY_BYTES} bytes, this one has {len(body)}")
        channel = self._require_channel()
        if channel.slots.locked():
            await self._wait_for_slot(channel)
        else:
            await channel.slots.acquire()
        try:
            confirmed = channel.send(body, route, headers)
        except LinkLost as lost:
            channel.slots.release()
            raise PublishRefused(f"RabbitMQ is not connected: {lost}") from lost
        await confirmed

    def _require_channel(self) -> _ConfirmChannel:
        channel = self._confirm_channel
        if channel is None or not channel.is_open:
            raise PublishRefused("RabbitMQ is not connected")
        if channel.link.blocked:
            raise PublishRefused(f"RabbitMQ is blocked by an alarm: {channel.link.blocked}")
        return channel

    async def _wait_for_slot(self, channel: _ConfirmChannel) -> None:
        try:
            async with asyncio.timeout(SLOT_TIMEOUT_S):
                await channel.slots.acquire()
        except TimeoutError as error:
            raise PublishRefused(f"{MAX_IN_FLIGHT} publishes already wait for RabbitMQ") from error

    def _on_return(self, channel: _ConfirmChannel, message_id: str) -> None:
        channel.on_return(message_id)
        self.queue_missing.set()
