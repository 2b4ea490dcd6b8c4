"""Publishing: one channel, many confirms in flight, and an honest answer for each."""

import asyncio
from collections.abc import Mapping

from imsg_broker.port import MAX_BODY_BYTES, PublishRefused, PublishUnknown
from imsg_broker.rabbitmq.amqp import Channel, Link, LinkLost
from imsg_broker.rabbitmq.declare import TopologyDeclarer
from imsg_contract.topology import Route
from imsg_runtime.logs import logger

log = logger(__name__)

MAX_IN_FLIGHT = 512
"""Publishes that wait for their confirm at once; pika buffers without bound, so this is the bound."""

FULL_TIMEOUT_S = 1.0
"""How long a publish waits for room before it fails: nothing of it is written yet."""

CONFIRM_TIMEOUT_S = 5.0
"""How long a confirm may take; a healthy quorum queue needs milliseconds, hundreds of them under load."""

BLOCKED_CONFIRM_S = 1.0
"""How long a confirm may take once an alarm has begun: what RabbitMQ had read before is confirmed by then, the rest it
reads only when the alarm is over."""


class _Line:
    """One confirmed channel of one connection; when either is lost, what is in flight is unknown."""

    def __init__(self, link: Link, channel: Channel) -> None:
        self.link = link
        self.room = asyncio.Semaphore(MAX_IN_FLIGHT)
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
        """Write a publish; the future tells what became of it. Raises LinkLost where nothing was written.

        The caller has taken a place in `room`; it is given back here, when the answer is known.
        """
        tag = self._tag + 1
        self._channel.publish(route.exchange, route.key, body, str(tag), headers)
        self._tag = tag  # the broker counts what was written, and so do we
        future: asyncio.Future[None] = self._loop.create_future()
        self._in_flight[tag] = (future, self._loop.time())
        if self._timer is None:
            self._timer = self._loop.call_later(CONFIRM_TIMEOUT_S, self._give_up_on_the_late)
        return future

    def on_return(self, message_id: str) -> None:
        """Note that no queue takes a message; its confirm follows."""
        self._returned.add(int(message_id))

    def on_confirm(self, tag: int, multiple: bool, acked: bool) -> None:  # noqa: FBT001  AMQP's own fields
        """Answer a publish, or all up to it. A tag we gave up on is late news, not an error."""
        self._confirmed_at = self._loop.time()
        if not multiple:
            self._answer(tag, acked=acked)
            return
        for earlier in [known for known in self._in_flight if known <= tag]:
            self._answer(earlier, acked=acked)

    def _answer(self, tag: int, *, acked: bool) -> None:
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
        self.room.release()
        if future.done():  # its caller was cancelled
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _give_up_on_the_late(self) -> None:
        self._timer = None
        now = self._loop.time()
        late = [tag for tag, (_, sent_at) in self._in_flight.items() if sent_at <= now - CONFIRM_TIMEOUT_S]
        for tag in late:
            self._end(tag, PublishUnknown(f"RabbitMQ did not confirm within {CONFIRM_TIMEOUT_S:.0f} s"))
        if late and self._confirmed_at <= now - CONFIRM_TIMEOUT_S and not self.link.blocked:
            self.link.abort("no confirm came at all: the connection is in doubt")
        if self._in_flight:
            oldest = next(iter(self._in_flight.values()))[1]
            self._timer = self._loop.call_at(oldest + CONFIRM_TIMEOUT_S, self._give_up_on_the_late)

    def _on_blocked(self) -> None:
        blocked_at = self._loop.time()
        self._loop.call_later(BLOCKED_CONFIRM_S, self._give_up_on_the_unread, blocked_at)

    def _give_up_on_the_unread(self, blocked_at: float) -> None:
        """Say of what was written before an alarm began that it may come about, once the alarm is over."""
        if not self.link.blocked:
            return
        for tag in [tag for tag, (_, sent_at) in self._in_flight.items() if sent_at <= blocked_at]:
            self._end(tag, PublishUnknown(f"RabbitMQ reads nothing for now: {self.link.blocked}"))

    def _on_lost(self, lost: asyncio.Future[LinkLost]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for tag in list(self._in_flight):
            self._end(tag, PublishUnknown(f"the connection was lost before the confirm: {lost.result()}"))
        self.link.abort("the publishing channel was lost")


class Publisher:
    """The publishing side: sees that the topology is there on each connection, then publishes."""

    def __init__(self, declaring: TopologyDeclarer) -> None:
        self._declaring = declaring
        self._line: _Line | None = None
        self.missed = asyncio.Event()
        """Set when a message found no queue: the topology needs declaring now."""

    @property
    def is_ready(self) -> bool:
        """Connected, declared, and not blocked by an alarm."""
        line = self._line
        return line is not None and line.is_open and not line.link.blocked

    @property
    def blocked(self) -> str:
        """The alarm that blocks us, in RabbitMQ's words; empty without one."""
        line = self._line
        return line.link.blocked if line is not None and line.is_open else ""

    async def prepare(self, link: Link) -> None:
        """See that the topology is there on a new connection and open its publishing channel. Raises LinkLost."""
        self._line = None
        channel = await self._declaring.declare_all(link)
        confirmed = _Line(link, channel)
        await channel.confirm(confirmed.on_confirm, lambda message_id: self._on_return(confirmed, message_id))
        self._line = confirmed

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None) -> None:
        """Publish, and return when every queue of the route has it on disk.

        Raises PublishRefused (nothing kept) or PublishUnknown (may be kept).
        """
        if len(body) > MAX_BODY_BYTES:
            raise PublishRefused(f"a message is at most {MAX_BODY_BYTES} bytes, this one has {len(body)}")
        line = self._open_line()
        if line.room.locked():
            await self._wait_for_room(line)
        else:
            await line.room.acquire()
        try:
            confirmed = line.send(body, route, headers)
        except LinkLost as lost:
            line.room.release()
            raise PublishRefused(f"RabbitMQ is not connected: {lost}") from lost
        await confirmed

    def _open_line(self) -> _Line:
        line = self._line
        if line is None or not line.is_open:
            raise PublishRefused("RabbitMQ is not connected")
        if line.link.blocked:
            raise PublishRefused(f"RabbitMQ takes nothing now: {line.link.blocked}")
        return line

    async def _wait_for_room(self, line: _Line) -> None:
        try:
            async with asyncio.timeout(FULL_TIMEOUT_S):
                await line.room.acquire()
        except TimeoutError as error:
            raise PublishRefused(f"{MAX_IN_FLIGHT} publishes already wait for RabbitMQ") from error

    def _on_return(self, line: _Line, message_id: str) -> None:
        line.on_return(message_id)
        self.missed.set()
