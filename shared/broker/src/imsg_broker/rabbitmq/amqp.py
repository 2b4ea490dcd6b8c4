"""pika as coroutines: one connection until it is lost, and its channels."""

import asyncio
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec

import pika  # type: ignore[import-untyped]
import pika.exceptions  # type: ignore[import-untyped]

from imsg_broker.rabbitmq import frames
from imsg_broker.rabbitmq.address import Address, Host
from imsg_broker.rabbitmq.pika_connection import Connection
from imsg_broker.rabbitmq.tls import URL, explain
from imsg_runtime.logs import logger

log = logger(__name__)

OLDEST_MAJOR = 4
"""RabbitMQ's first version whose quorum queues know a delivery limit of -1 and dead-letter as we want it."""

CONNECT_TIMEOUT_S = 5.0
"""For TCP, and again for TLS and AMQP's own greeting: a broker that needs longer is away."""

HEARTBEAT_S = 30
"""A dead peer is noticed within two of these; shorter and a busy loop would look dead."""

BLOCKED_TIMEOUT_S = 300
"""How long an alarm may block a connection before it is made anew (another node may be better off)."""

REPLY_TIMEOUT_S = 10.0
"""For one synchronous method; a quorum queue takes a moment to be made."""

ACKS_WAIT_S = 0.005
"""How long acks wait for others: what comes again after a crash is told again, and never sent."""

CLOSE_TIMEOUT_S = 2.0
"""For a goodbye; then the socket is closed under a peer that does not answer."""

P = ParamSpec("P")


class LinkLost(Exception):  # noqa: N818  a state of the world
    """The connection or channel is gone, or was never made; its text says why."""


class TooOld(LinkLost):
    """What answers is a RabbitMQ that lacks what we stand on: quorum queues with our arguments."""


class NotFound(LinkLost):
    """The queue or exchange asked for does not exist; RabbitMQ closed the channel over it."""


class Forbidden(LinkLost):
    """Our user may not do this; RabbitMQ closed the channel over it."""


_NO_HEADERS: Mapping[str, object] = {}

_NAMED = {403: Forbidden, 404: NotFound}
"""AMQP's reply codes, as classes of ours."""


def _guard(callback: Callable[P, None]) -> Callable[P, None]:
    """Keep an exception from leaving a callback: pika would abort the whole connection over it."""

    @wraps(callback)
    def call_guarded(*arguments: P.args, **named: P.kwargs) -> None:
        try:
            callback(*arguments, **named)
        except Exception:
            log.exception("bug", where=callback.__qualname__)

    return call_guarded


class Channel:
    """A channel of a link; what waits on it fails with LinkLost when it closes."""

    def __init__(self, channel: Any) -> None:  # noqa: ANN401  pika has no types
        self._channel = channel
        self._connection = channel.connection
        self._number: int = channel.channel_number
        self._room: int = self._connection.params.frame_max - frames.OVERHEAD_BYTES
        self._replies: set[asyncio.Future[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._owed: list[int] = []
        """Tags whose acks are not written yet."""
        self._delivered_to = 0
        self._acked_to = 0
        self._acked_apart: set[int] = set()
        """Acked tags behind one that is not."""
        self.lost: asyncio.Future[LinkLost] = self._loop.create_future()
        """Done when the channel has closed."""
        channel.add_on_close_callback(_guard(self._on_close))

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""
        return bool(self._channel.is_open)

    def _on_close(self, _channel: object, reason: BaseException) -> None:
        code = reason.reply_code if isinstance(reason, pika.exceptions.ChannelClosedByBroker) else 0
        error = _NAMED.get(code, LinkLost)(_why(reason))
        self._connection.takers.pop(self._number, None)
        self._connection.confirmers.pop(self._number, None)
        for reply in self._replies:
            if not reply.done():
                reply.set_exception(error)
        if not self.lost.done():
            self.lost.set_result(error)

    async def _call(self, method: Callable[..., object], /, **arguments: object) -> Any:  # noqa: ANN401
        """Call a method of pika's that answers by callback. Raises LinkLost."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies.add(reply)
        try:
            method(**arguments, callback=lambda frame: None if reply.done() else reply.set_result(frame))
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                return await reply
        except TimeoutError as error:
            raise LinkLost(f"no reply within {REPLY_TIMEOUT_S:.0f} s") from error
        except pika.exceptions.AMQPError as error:
            raise LinkLost(_why(error)) from error
        finally:
            self._replies.discard(reply)

    async def declare_exchange(self, name: str) -> None:
        """Declare a durable topic exchange. Raises Forbidden, which closes the channel."""
        await self._call(self._channel.exchange_declare, exchange=name, exchange_type="topic", durable=True)

    async def declare_queue(self, name: str, arguments: Mapping[str, object]) -> None:
        """Declare a durable queue. Raises Forbidden, which closes the channel."""
        await self._call(self._channel.queue_declare, queue=name, durable=True, arguments=dict(arguments))

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        """Bind a queue to an exchange."""
        await self._call(self._channel.queue_bind, queue=queue, exchange=exchange, routing_key=key)

    async def find_exchange(self, name: str) -> None:
        """See that an exchange is there. Raises NotFound, which closes the channel."""
        await self._call(self._channel.exchange_declare, exchange=name, passive=True)

    async def count(self, queue: str) -> tuple[int, int]:
        """Count a queue's ready messages and its consumers. Raises NotFound, which closes the channel."""
        frame = await self._call(self._channel.queue_declare, queue=queue, passive=True)
        return int(frame.method.message_count), int(frame.method.consumer_count)

    async def transact(self) -> None:
        """Let publishes of this channel count for nothing until they are committed, which we never do."""
        await self._call(self._channel.tx_select)

    def roll_back(self) -> None:
        """Take back what was published since, without waiting for the reply: a blocked broker sends none."""
        if self._channel.is_open:
            self._channel.tx_rollback()

    async def confirm(self, on_confirm: Callable[[int, bool, bool], None], on_return: Callable[[str], None]) -> None:
        """Have publishes confirmed: `on_confirm(tag, multiple, acked)`, `on_return(message id)` before it."""

        def handle_confirm(frame: Any) -> None:  # noqa: ANN401
            method = frame.method
            on_confirm(method.delivery_tag, method.multiple, method.NAME == "Basic.Ack")

        def handle_return(_channel: object, _method: object, properties: Any, _body: bytes) -> None:  # noqa: ANN401
            on_return(properties.message_id)

        self._channel.add_on_return_callback(_guard(handle_return))
        await self._call(self._channel.confirm_delivery, ack_nack_callback=_guard(handle_confirm))
        if self.is_open:
            self._connection.confirmers[self._number] = _guard(on_confirm)

    def publish(self, exchange: str, key: str, body: bytes, message_id: str, headers: Mapping[str, str] | None) -> None:
        """Write a durable, mandatory publish. Raises LinkLost where nothing was written."""
        if headers is None and 0 < len(body) <= self._room and self._channel.is_open:
            self._connection.write(frames.publish(self._number, exchange, key, body, message_id))
            return
        properties = pika.BasicProperties(
            content_type="application/json", delivery_mode=2, message_id=message_id, headers=headers
        )
        try:
            self._channel.basic_publish(exchange, key, body, properties, mandatory=True)
        except pika.exceptions.AMQPError as error:
            raise LinkLost(_why(error)) from error

    async def consume(
        self,
        queue: str,
        prefetch: int,
        on_delivery: Callable[[int, str, bool, Mapping[str, object], bytes], None],
        on_cancel: Callable[[], None],
    ) -> None:
        """Consume with at most `prefetch` unacked: `on_delivery(tag, key, redelivered, headers, body)`.

        `on_cancel` is called when the broker ends it, because the queue was deleted.
        """

        def handle_delivery(_channel: object, method: Any, properties: Any, body: bytes) -> None:  # noqa: ANN401
            headers = properties.headers or {}
            self._delivered_to = method.delivery_tag
            on_delivery(method.delivery_tag, method.routing_key, method.redelivered, headers, body)

        def take(found: frames.Delivered) -> None:
            self._delivered_to = found.tag
            on_delivery(found.tag, found.key, found.redelivered, _NO_HEADERS, found.body)

        self._channel.add_on_cancel_callback(_guard(lambda _frame: on_cancel()))
        await self._call(self._channel.basic_qos, prefetch_count=prefetch)
        if self.is_open:
            self._connection.takers[self._number] = _guard(take)
        await self._call(self._channel.basic_consume, queue=queue, on_message_callback=_guard(handle_delivery))

    def ack(self, tag: int) -> None:
        """Ack one delivery; nothing where the channel has closed.

        While others are unacked it waits for theirs: acks of a moment go together, in one frame for all where nothing
        before them is unacked. To a quorum queue each frame is an entry in its log, to us each write a system call.
        """
        if not self._owed:
            self._loop.call_later(ACKS_WAIT_S, _guard(self._write_acks))
        self._owed.append(tag)
        if self._acked_to + len(self._acked_apart) + len(self._owed) == self._delivered_to:
            self._loop.call_soon(_guard(self._write_acks))

    def _write_acks(self) -> None:
        owed, self._owed = sorted(self._owed), []
        if not owed or not self._channel.is_open:
            return
        self._acked_apart.update(owed)
        while self._acked_to + 1 in self._acked_apart:
            self._acked_to += 1
            self._acked_apart.remove(self._acked_to)
        together = [tag for tag in owed if tag <= self._acked_to]
        acks = [frames.ack(self._number, tag, multiple=False) for tag in owed[len(together) :]]
        if together:  # up to the last that is owed: one that is acked already is unknown to the broker
            acks.insert(0, frames.ack(self._number, together[-1], multiple=len(together) > 1))
        self._connection.write(b"".join(acks))

    async def close(self) -> None:
        """Close it, bounded: the broker takes back what is unacked."""
        self._write_acks()
        if self._channel.is_open:
            self._channel.close()
        await asyncio.wait({self.lost}, timeout=CLOSE_TIMEOUT_S)


class Link:
    """One connection to the broker, until it is lost."""

    def __init__(self, host: Host) -> None:
        self.host = host
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[LinkLost] = loop.create_future()
        """Done when the connection has ended, with the reason."""
        self.blocked = ""
        """Which alarm of the broker keeps us from publishing, in its own words; empty without one."""
        self.on_blocked: Callable[[], None] = lambda: None
        """Called when an alarm begins to."""
        self._opened: asyncio.Future[None] = loop.create_future()
        self._connection: Any = None

    async def open(self, address: Address, name: str) -> None:
        """Connect. Raises LinkLost where that fails, TooOld where who answers can't serve us."""
        try:
            context = None if address.tls is None else address.tls.context()
        except ValueError as error:
            raise LinkLost(f"{URL}: {error}") from error
        parameters = pika.ConnectionParameters(
            host=self.host.name,
            port=self.host.port,
            virtual_host=address.vhost,
            credentials=pika.PlainCredentials(address.username, address.password),
            ssl_options=None if context is None else pika.SSLOptions(context, address.server_name(self.host)),
            heartbeat=HEARTBEAT_S,
            blocked_connection_timeout=BLOCKED_TIMEOUT_S,
            connection_attempts=1,
            socket_timeout=CONNECT_TIMEOUT_S,
            stack_timeout=CONNECT_TIMEOUT_S * 2,
            client_properties={"connection_name": name},
        )
        self._connection = Connection(
            parameters,
            on_open_callback=_guard(self._on_open),
            on_open_error_callback=_guard(self._on_close),
            on_close_callback=_guard(self._on_close),
        )
        self._connection.add_on_connection_blocked_callback(_guard(self._on_blocked))
        self._connection.add_on_connection_unblocked_callback(_guard(self._on_unblocked))
        try:
            await first_of(self._opened, self.lost)
        except BaseException:
            await self.close()
            raise
        if self.lost.done():
            raise self.lost.result()
        if (old := _too_old(self._connection.server_properties)) is not None:
            await self.close()
            raise TooOld(f"{old} answers at {self.host.name}:{self.host.port}")

    async def channel(self) -> Channel:
        """Open a channel. Raises LinkLost."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Channel] = loop.create_future()

        def on_open(channel: Any) -> None:  # noqa: ANN401
            if not opened.done():
                opened.set_result(Channel(channel))

        try:
            self._connection.channel(on_open_callback=_guard(on_open))
        except pika.exceptions.AMQPError as error:
            raise LinkLost(_why(error)) from error
        await first_of(opened, self.lost, timeout_s=REPLY_TIMEOUT_S)
        if opened.done():
            return opened.result()
        opened.cancel()
        raise self.lost.result() if self.lost.done() else LinkLost("no channel was opened in time")

    async def close(self) -> None:
        """Say goodbye, bounded; whatever is still open on it is lost."""
        if self._connection is None or self._connection.is_closed:
            return
        if not self._connection.is_closing:
            self._connection.close()
        await asyncio.wait({self.lost}, timeout=CLOSE_TIMEOUT_S)
        if not self.lost.done():
            self.abort("the broker did not answer a goodbye")
            await asyncio.wait({self.lost}, timeout=CLOSE_TIMEOUT_S)

    def abort(self, reason: str) -> None:
        """Close the socket at once: the connection is in doubt."""
        self._connection.abort(reason)

    def _on_open(self, _connection: object) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_close(self, _connection: object, reason: BaseException) -> None:
        if not self.lost.done():
            self.lost.set_result(LinkLost(_why(reason)))

    def _on_blocked(self, _connection: object, frame: Any) -> None:  # noqa: ANN401
        self.blocked = str(frame.method.reason) or "an alarm"
        log.warning("broker_blocked", host=self.host.name, reason=self.blocked)
        self.on_blocked()

    def _on_unblocked(self, _connection: object, _frame: object) -> None:
        self.blocked = ""
        log.info("broker_unblocked", host=self.host.name)


async def first_of(*futures: asyncio.Future[Any], timeout_s: float | None = None) -> None:
    """Wait until one of several is done, or the time is up; being cancelled cancels none of them."""
    await asyncio.wait(futures, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


def _why(error: object) -> str:
    """Say in a line why something was lost; pika's own words, and the innermost cause where it wraps one."""
    causes = getattr(error, "exceptions", None) or [getattr(error, "exception", None)]
    if isinstance(causes[-1], BaseException):
        return _why(causes[-1])
    if isinstance(error, pika.exceptions.ProbableAuthenticationError | pika.exceptions.AuthenticationError):
        return f"it refuses the login: correct user and password in {URL}"
    if isinstance(error, pika.exceptions.ProbableAccessDeniedError):
        return f"it refuses the virtual host ({error}): correct it in {URL}, or give its rights to our user"
    return explain(error) or str(error) or type(error).__name__


def _too_old(server: Mapping[str, object]) -> str | None:
    """Name a RabbitMQ that is older than we need, by what it says of itself at the greeting."""
    product, version = (_text(server.get(key, "")) for key in ("product", "version"))
    major = version.partition(".")[0]
    too_old = product == "RabbitMQ" and major.isdecimal() and int(major) < OLDEST_MAJOR
    return f"{product} {version}" if too_old else None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
