"""pika's callbacks as coroutines: a connection until it is lost, and its channels."""

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
"""The oldest supported version: its quorum queues accept a delivery limit of -1."""

CONNECT_TIMEOUT_S = 5.0
"""For TCP, and again for TLS and the AMQP handshake."""

HEARTBEAT_S = 30
"""A dead peer is detected within two heartbeats. With shorter ones a busy event loop would seem dead."""

BLOCKED_TIMEOUT_S = 300
"""How long an alarm may block a connection before it is reopened: another node may have no alarm."""

REPLY_TIMEOUT_S = 10.0
"""For one synchronous method; declaring a quorum queue takes longest."""

ACKS_WAIT_S = 0.005
"""How long acks wait to be written together. A delivery that is redelivered for a lost ack is not sent twice."""

CLOSE_TIMEOUT_S = 2.0
"""For the close handshake; then the socket is closed."""

P = ParamSpec("P")


class LinkLost(Exception):  # noqa: N818  a state of the world
    """The connection or channel was lost, or could not be opened; the text says why."""


class TooOld(LinkLost):
    """The server is a RabbitMQ before `OLDEST_MAJOR`."""


class NotFound(LinkLost):
    """The queue or exchange does not exist; RabbitMQ closed the channel."""


class Forbidden(LinkLost):
    """The user has no right to do this; RabbitMQ closed the channel."""


_NO_HEADERS: Mapping[str, object] = {}

_ERRORS = {403: Forbidden, 404: NotFound}
"""AMQP's reply code → exception."""


def _log_exceptions(callback: Callable[P, None]) -> Callable[P, None]:
    """Wrap a callback so that its exceptions are logged: pika would abort the connection."""

    @wraps(callback)
    def call_logged(*arguments: P.args, **named: P.kwargs) -> None:
        try:
            callback(*arguments, **named)
        except Exception:
            log.exception("bug", where=callback.__qualname__)

    return call_logged


class Channel:
    """A channel of a connection; its pending calls raise LinkLost when it closes."""

    def __init__(self, channel: Any) -> None:  # noqa: ANN401  pika has no types
        self._channel = channel
        self._connection = channel.connection
        self._number: int = channel.channel_number
        self._room: int = self._connection.params.frame_max - frames.OVERHEAD_BYTES
        self._replies: set[asyncio.Future[Any]] = set()
        self._loop = asyncio.get_running_loop()
        self._unwritten_acks: list[int] = []
        """Delivery tags whose acks are not written yet."""
        self._delivered_to = 0
        self._acked_to = 0
        self._acked_early: set[int] = set()
        """Acked tags above one that is unacked."""
        self.lost: asyncio.Future[LinkLost] = self._loop.create_future()
        """Done when the channel has closed."""
        channel.add_on_close_callback(_log_exceptions(self._on_close))

    @property
    def is_open(self) -> bool:
        """Whether it can be written to."""
        return bool(self._channel.is_open)

    def _on_close(self, _channel: object, reason: BaseException) -> None:
        code = reason.reply_code if isinstance(reason, pika.exceptions.ChannelClosedByBroker) else 0
        error = _ERRORS.get(code, LinkLost)(_explain(reason))
        self._connection.on_delivery.pop(self._number, None)
        self._connection.on_confirm.pop(self._number, None)
        for reply in self._replies:
            if not reply.done():
                reply.set_exception(error)
        if not self.lost.done():
            self.lost.set_result(error)

    async def _call(self, method: Callable[..., object], /, **arguments: object) -> Any:  # noqa: ANN401
        """Call a method of pika that takes a callback, and return its reply. Raises LinkLost."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies.add(reply)
        try:
            method(**arguments, callback=lambda frame: None if reply.done() else reply.set_result(frame))
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                return await reply
        except TimeoutError as error:
            raise LinkLost(f"no reply within {REPLY_TIMEOUT_S:.0f} s") from error
        except pika.exceptions.AMQPError as error:
            raise LinkLost(_explain(error)) from error
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
        """Check that an exchange exists. Raises NotFound, which closes the channel."""
        await self._call(self._channel.exchange_declare, exchange=name, passive=True)

    async def count(self, queue: str) -> tuple[int, int]:
        """Return the numbers of ready messages and consumers of a queue. Raises NotFound, which closes the channel."""
        frame = await self._call(self._channel.queue_declare, queue=queue, passive=True)
        return int(frame.method.message_count), int(frame.method.consumer_count)

    async def transact(self) -> None:
        """Put the channel into transaction mode: its publishes have no effect until they are committed."""
        await self._call(self._channel.tx_select)

    def roll_back(self) -> None:
        """Roll back the transaction without waiting for the reply, which a blocked broker does not send."""
        if self._channel.is_open:
            self._channel.tx_rollback()

    async def confirm(self, on_confirm: Callable[[int, bool, bool], None], on_return: Callable[[str], None]) -> None:
        """Turn on confirms: `on_confirm(tag, multiple, acked)`, preceded by `on_return(message id)` if unroutable."""

        def handle_confirm(frame: Any) -> None:  # noqa: ANN401
            method = frame.method
            on_confirm(method.delivery_tag, method.multiple, method.NAME == "Basic.Ack")

        def handle_return(_channel: object, _method: object, properties: Any, _body: bytes) -> None:  # noqa: ANN401
            on_return(properties.message_id)

        self._channel.add_on_return_callback(_log_exceptions(handle_return))
        await self._call(self._channel.confirm_delivery, ack_nack_callback=_log_exceptions(handle_confirm))
        if self.is_open:
            self._connection.on_confirm[self._number] = _log_exceptions(on_confirm)

    def publish(self, exchange: str, key: str, body: bytes, message_id: str, headers: Mapping[str, str] | None) -> None:
        """Write a durable, mandatory publish. Raises LinkLost if nothing was written."""
        if headers is None and 0 < len(body) <= self._room and self._channel.is_open:
            self._connection.write(frames.publish(self._number, exchange, key, body, message_id))
            return
        properties = pika.BasicProperties(
            content_type="application/json", delivery_mode=2, message_id=message_id, headers=headers
        )
        try:
            self._channel.basic_publish(exchange, key, body, properties, mandatory=True)
        except pika.exceptions.AMQPError as error:
            raise LinkLost(_explain(error)) from error

    async def consume(
        self,
        queue: str,
        prefetch: int,
        on_delivery: Callable[[int, str, bool, Mapping[str, object], bytes], None],
        on_cancel: Callable[[], None],
    ) -> None:
        """Consume with at most `prefetch` unacked: `on_delivery(tag, key, redelivered, headers, body)`.

        `on_cancel` is called when the broker cancels the consumer, as when the queue is deleted.
        """

        def handle_delivery(_channel: object, method: Any, properties: Any, body: bytes) -> None:  # noqa: ANN401
            headers = properties.headers or {}
            self._delivered_to = method.delivery_tag
            on_delivery(method.delivery_tag, method.routing_key, method.redelivered, headers, body)

        def handle_plain_delivery(delivery: frames.Delivered) -> None:
            self._delivered_to = delivery.tag
            on_delivery(delivery.tag, delivery.key, delivery.redelivered, _NO_HEADERS, delivery.body)

        self._channel.add_on_cancel_callback(_log_exceptions(lambda _frame: on_cancel()))
        await self._call(self._channel.basic_qos, prefetch_count=prefetch)
        if self.is_open:
            self._connection.on_delivery[self._number] = _log_exceptions(handle_plain_delivery)
        await self._call(self._channel.basic_consume, queue=queue, on_message_callback=_log_exceptions(handle_delivery))

    def ack(self, tag: int) -> None:
        """Ack a delivery; do nothing where the channel has closed.

        The ack is written after `ACKS_WAIT_S`, at once if nothing else is unacked. Acks without a gap share one frame
        (`multiple`): each frame is an entry in the log of a quorum queue.
        """
        if not self._unwritten_acks:
            self._loop.call_later(ACKS_WAIT_S, _log_exceptions(self._write_acks))
        self._unwritten_acks.append(tag)
        if self._acked_to + len(self._acked_early) + len(self._unwritten_acks) == self._delivered_to:
            self._loop.call_soon(_log_exceptions(self._write_acks))

    def _write_acks(self) -> None:
        tags, self._unwritten_acks = sorted(self._unwritten_acks), []
        if not tags or not self._channel.is_open:
            return
        self._acked_early.update(tags)
        while self._acked_to + 1 in self._acked_early:
            self._acked_to += 1
            self._acked_early.remove(self._acked_to)
        contiguous = [tag for tag in tags if tag <= self._acked_to]
        acks = [frames.ack(self._number, tag, multiple=False) for tag in tags[len(contiguous) :]]
        if contiguous:  # the last tag that is not written yet: the broker rejects one that is acked
            acks.insert(0, frames.ack(self._number, contiguous[-1], multiple=len(contiguous) > 1))
        self._connection.write(b"".join(acks))

    async def close(self) -> None:
        """Close the channel within `CLOSE_TIMEOUT_S`: the broker requeues unacked deliveries."""
        self._write_acks()
        if self._channel.is_open:
            self._channel.close()
        await asyncio.wait({self.lost}, timeout=CLOSE_TIMEOUT_S)


class Link:
    """One connection to a host of the broker, until it is lost."""

    def __init__(self, host: Host) -> None:
        self.host = host
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[LinkLost] = loop.create_future()
        """Done when the connection has ended, with the reason."""
        self.blocked = ""
        """The reason of the alarm that blocks publishing, as RabbitMQ states it; empty without an alarm."""
        self.on_blocked: Callable[[], None] = lambda: None
        """Called when an alarm begins to block."""
        self._opened: asyncio.Future[None] = loop.create_future()
        self._connection: Any = None

    async def open(self, address: Address, name: str) -> None:
        """Connect. Raises LinkLost, TooOld."""
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
            on_open_callback=_log_exceptions(self._on_open),
            on_open_error_callback=_log_exceptions(self._on_close),
            on_close_callback=_log_exceptions(self._on_close),
        )
        self._connection.add_on_connection_blocked_callback(_log_exceptions(self._on_blocked))
        self._connection.add_on_connection_unblocked_callback(_log_exceptions(self._on_unblocked))
        try:
            await wait_for_first(self._opened, self.lost)
        except BaseException:
            await self.close()
            raise
        if self.lost.done():
            raise self.lost.result()
        if (old := _name_old_server(self._connection.server_properties)) is not None:
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
            self._connection.channel(on_open_callback=_log_exceptions(on_open))
        except pika.exceptions.AMQPError as error:
            raise LinkLost(_explain(error)) from error
        await wait_for_first(opened, self.lost, timeout_s=REPLY_TIMEOUT_S)
        if opened.done():
            return opened.result()
        opened.cancel()
        raise self.lost.result() if self.lost.done() else LinkLost("no channel was opened in time")

    async def close(self) -> None:
        """Close the connection and its channels, within twice `CLOSE_TIMEOUT_S`."""
        if self._connection is None or self._connection.is_closed:
            return
        if not self._connection.is_closing:
            self._connection.close()
        await asyncio.wait({self.lost}, timeout=CLOSE_TIMEOUT_S)
        if not self.lost.done():
            self.abort("the broker did not answer the close")
            await asyncio.wait({self.lost}, timeout=CLOSE_TIMEOUT_S)

    def abort(self, reason: str) -> None:
        """Close the socket at once: the connection is in doubt."""
        self._connection.abort(reason)

    def _on_open(self, _connection: object) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_close(self, _connection: object, reason: BaseException) -> None:
        if not self.lost.done():
            self.lost.set_result(LinkLost(_explain(reason)))

    def _on_blocked(self, _connection: object, frame: Any) -> None:  # noqa: ANN401
        self.blocked = str(frame.method.reason) or "an alarm"
        log.warning("broker_blocked", host=self.host.name, reason=self.blocked)
        self.on_blocked()

    def _on_unblocked(self, _connection: object, _frame: object) -> None:
        self.blocked = ""
        log.info("broker_unblocked", host=self.host.name)


async def wait_for_first(*futures: asyncio.Future[Any], timeout_s: float | None = None) -> None:
    """Wait until one of several futures is done, or the time is up. A cancellation does not cancel them."""
    await asyncio.wait(futures, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


def _explain(error: object) -> str:
    """Return the reason of an error of pika in one line: its innermost cause, with a remedy where one is known."""
    causes = getattr(error, "exceptions", None) or [getattr(error, "exception", None)]
    if isinstance(causes[-1], BaseException):
        return _explain(causes[-1])
    if isinstance(error, pika.exceptions.ProbableAuthenticationError | pika.exceptions.AuthenticationError):
        return f"it refuses the login: correct user and password in {URL}"
    if isinstance(error, pika.exceptions.ProbableAccessDeniedError):
        return f"it refuses the virtual host ({error}): correct it in {URL}, or give its rights to our user"
    return explain(error) or str(error) or type(error).__name__


def _name_old_server(server: Mapping[str, object]) -> str | None:
    """Return name and version of a server that is too old, by its properties; None for another."""
    product, version = (_text(server.get(key, "")) for key in ("product", "version"))
    major = version.partition(".")[0]
    too_old = product == "RabbitMQ" and major.isdecimal() and int(major) < OLDEST_MAJOR
    return f"{product} {version}" if too_old else None


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
