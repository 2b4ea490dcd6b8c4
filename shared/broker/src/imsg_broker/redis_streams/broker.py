"""The broker port on Redis Streams."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import redis.exceptions

from imsg_broker.deliveries import Deliveries
from imsg_broker.port import MAX_BODY_BYTES, Broker, Delivery, Load, PublishRefused, PublishUnknown, Unreachable
from imsg_broker.redis_streams.consumer import Consumer, acknowledge, name_retry_set, name_returned_stream
from imsg_broker.redis_streams.scripts import CONSUMERS, DECLARE, DELAY, DEPTH, GROUP, PUBLISH
from imsg_broker.tasks import end, run_consumer
from imsg_contract.topology import DEAD, Route, Topology
from imsg_runtime.logs import logger
from imsg_runtime.redis import Argument, Redis, RedisRefused, RedisUnavailable, Script
from imsg_runtime.redis import connect as connect_redis

log = logger(__name__)

CHECK_S = 1.0
"""The time between checks of the server: publishes are refused within a second of its loss."""

REDECLARE_S = 30.0
"""The time between declarations of the consumer groups, which a flushed server has lost."""

DURABLE_SETTINGS = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""The server's settings by which a confirmed publish is on disk and is not evicted."""

NOTHING_WRITTEN = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.AuthenticationError,
    redis.exceptions.BusyLoadingError,
)
NOTHING_WRITTEN_CODES = ("OOM", "MISCONF", "READONLY", "LOADING", "BUSY", "NOREPLICAS", "NOAUTH", "NOPERM")
"""Errors of a script that has written nothing; after any other it may have."""


class StreamBroker:
    """The broker port on Redis Streams. Calls share one connection; each consumer reads on its own."""

    def __init__(self, url: str, topology: Topology, shared: Redis, redeclare_s: float) -> None:
        self.topology = topology
        self._url = url
        self._shared = shared
        self._redeclare_s = redeclare_s
        self._reachable = False
        self._refusal = ""
        self._check_now = asyncio.Event()
        self._consumers: set[Consumer] = set()
        self._queues = {
            *dict(topology.sinks()),
            topology.catalog,
            *(queue for queue, _ in topology.work_queues()),
        }
        self._delayed = {
            topology.retry(queue, step_s): name_retry_set(queue)
            for queue, _ in topology.work_queues()
            for step_s in topology.waits_s
        }
        self._watch_task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether it is connected, the groups exist, the server accepts writes, and every consumer reads."""
        return (
            self._reachable
            and all(consumer.is_consuming for consumer in self._consumers)
            and self._watch_task is not None
            and not self._watch_task.done()
        )

    @property
    def blocked(self) -> str:
        """The server's error on the last refused write, until it accepts one; empty without one."""
        return self._refusal

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None = None) -> None:
        """Append to every queue of the route atomically. Raises PublishRefused or PublishUnknown."""
        texts = json.dumps(dict(headers)) if headers else ""
        await self._write(PUBLISH, self._streams(route), (body, route.key, texts), len(body))

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator[Deliveries]:
        """Consume a queue while the context lasts; leaving it requeues unacked deliveries."""
        consumer = Consumer(self._url, self._shared, self.topology, queue, prefetch)
        async with run_consumer(consumer, self._consumers, queue) as deliveries:
            yield deliveries

    async def ack(self, delivery: Delivery) -> None:
        """Ack a delivery; do nothing where it was requeued meanwhile."""
        acknowledge(delivery)

    async def delay(self, queue: str, body: bytes, step_s: int) -> None:
        """Add to the queue's retry set. Raises like publish, and ValueError for an unknown delay."""
        if step_s not in self.topology.waits_s:
            raise ValueError(f"{step_s} s is none of the delays {self.topology.waits_s}")
        await self._write(DELAY, [name_retry_set(queue)], (step_s * 1_000, uuid.uuid4().hex[:16], body), len(body))

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Publish to history as dead, then ack. Raises like publish."""
        await self.publish(delivery.body, self.topology.new(DEAD), {"reason": reason, "queue": delivery.queue})
        await self.ack(delivery)

    async def depth(self, queue: str) -> int:
        """Return the ready and unacked messages; for a retry queue, the messages of all delays. Raises Unreachable."""
        try:
            if (delayed := self._delayed.get(queue)) is not None:
                return int(await self._shared.call("ZCARD", delayed))
            return int(await self._shared.run(DEPTH, [queue, name_returned_stream(queue)], []))
        except (RedisUnavailable, RedisRefused) as error:
            self._record_failure()
            raise Unreachable(f"Redis can't tell the depth of {queue}: {error}") from error

    async def load(self, queue: str) -> Load:
        """Return the depth and the number of consumers with a lease. Raises Unreachable."""
        depth = await self.depth(queue)
        try:
            return Load(depth, int(await self._shared.run(CONSUMERS, [queue], [GROUP])))
        except (RedisUnavailable, RedisRefused) as error:
            raise Unreachable(f"Redis can't tell who consumes {queue}: {error}") from error

    def start(self) -> None:
        """Begin to check the server."""
        self._watch_task = asyncio.create_task(self._watch(), name="streams:watch")

    async def close(self) -> None:
        """Stop checking the server."""
        if self._watch_task is not None:
            await end(self._watch_task)

    def _streams(self, route: Route) -> tuple[str, ...]:
        if route.exchange:
            return self.topology.queues_of(route.key)
        if route.key not in self._queues:
            raise PublishRefused(f"there is no queue {route.key}")
        return (route.key,)

    async def _write(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], size: int) -> None:
        if size > MAX_BODY_BYTES:
            raise PublishRefused(f"a message is at most {MAX_BODY_BYTES} bytes, this one has {size}")
        if not self._reachable:
            raise PublishRefused("Redis is not reachable, or takes no writes")
        try:
            await self._shared.run(script, keys, arguments)
        except (RedisUnavailable, RedisRefused) as error:
            self._record_failure()
            is_refused = _has_written_nothing(error)
            if is_refused or isinstance(error, RedisRefused):
                self._refusal = str(error)
            raise (PublishRefused if is_refused else PublishUnknown)(str(error)) from error

    def _record_failure(self) -> None:
        self._reachable = False
        self._check_now.set()

    async def _watch(self) -> None:
        """Check every second that the server answers and accepts writes; declare the groups after each outage."""
        loop = asyncio.get_running_loop()
        declare_at = 0.0
        while True:
            self._check_now.clear()
            try:
                if self._refusal:
                    await self._shared.call("SET", f"{self.topology.prefix}.probe", "1", "PX", 1_000)
                    self._refusal = ""
                if not self._reachable:
                    await self._warn_of_settings()
                if not self._reachable or loop.time() >= declare_at:
                    await self._declare()
                    declare_at = loop.time() + self._redeclare_s
                else:
                    await self._shared.call("PING")
            except (RedisUnavailable, RedisRefused) as error:
                self._set_reachable(reachable=False, reason=str(error))
                await asyncio.sleep(CHECK_S / 2)
                continue
            self._set_reachable(reachable=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._check_now.wait()

    def _set_reachable(self, *, reachable: bool, reason: str = "") -> None:
        if reachable and not self._reachable:
            log.info("broker_connected")
        if not reachable and self._reachable:
            log.warning("broker_unavailable", why=reason)
        self._reachable = reachable

    async def _warn_of_settings(self) -> None:
        """Log an error for each setting by which the server may lose confirmed messages."""
        for name, value in DURABLE_SETTINGS.items():
            try:
                is_set = await self._shared.call("CONFIG", "GET", name)
            except RedisRefused:  # CONFIG is forbidden, as on hosted servers
                return
            if value.encode() not in (is_set.values() if isinstance(is_set, dict) else is_set):
                log.error("broker_may_forget", setting=name, remedy=f"set {name} {value}")

    async def _declare(self) -> None:
        streams = [name for queue in sorted(self._queues) for name in (queue, name_returned_stream(queue))]
        await self._shared.run(DECLARE, streams, [GROUP])


@asynccontextmanager
async def connect(url: str, topology: Topology, *, redeclare_s: float = REDECLARE_S) -> AsyncIterator[Broker]:
    """Open Redis Streams while the context lasts; it connects later, see `ready`."""
    async with connect_redis(url) as shared:
        broker = StreamBroker(url, topology, shared, redeclare_s)
        broker.start()
        try:
            yield broker
        finally:
            await broker.close()


def _has_written_nothing(error: RedisUnavailable | RedisRefused) -> bool:
    reply = error.__cause__
    return isinstance(reply, NOTHING_WRITTEN) or str(reply).startswith(NOTHING_WRITTEN_CODES)
