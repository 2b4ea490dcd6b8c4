"""Redis Streams behind the broker port."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import redis.exceptions

from imsg_broker.deliveries import Deliveries
from imsg_broker.port import MAX_BODY_BYTES, Broker, Delivery, Load, PublishRefused, PublishUnknown, Unreachable
from imsg_broker.redis_streams.consumer import Consumer, acknowledge, name_returned_stream, retry
from imsg_broker.redis_streams.scripts import CONSUMERS, DECLARE, DELAY, DEPTH, GROUP, PUBLISH
from imsg_broker.tasks import end, run_consumer
from imsg_contract.topology import DEAD, Route, Topology
from imsg_runtime.logs import logger
from imsg_runtime.redis import Argument, Redis, RedisRefused, RedisUnavailable, Script
from imsg_runtime.redis import connect as connect_redis

log = logger(__name__)

LOOK_S = 1.0
"""How often the server is looked at; a lost one is thus refused within a second."""

REDECLARE_S = 30.0
"""How often the groups are made again: an emptied server gets them back."""

DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
"""How the server must be set for a confirmed publish to be on disk, and to stay."""

NOTHING_WRITTEN = (
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoPermissionError,
    redis.exceptions.AuthenticationError,
    redis.exceptions.BusyLoadingError,
)
NOTHING_WRITTEN_CODES = ("OOM", "MISCONF", "READONLY", "LOADING", "BUSY", "NOREPLICAS", "NOAUTH", "NOPERM")
"""Errors with which the server refuses a step before it begins; any other may come from its middle."""


class StreamBroker:
    """The seven verbs on Redis Streams. Calls share one connection and its pipeline; each consumer reads on its own."""

    def __init__(self, url: str, topology: Topology, shared: Redis, redeclare_s: float) -> None:
        self.topology = topology
        self._url = url
        self._shared = shared
        self._redeclare_s = redeclare_s
        self._reachable = False
        self._refusing = ""
        self._doubt = asyncio.Event()
        self._consumers: set[Consumer] = set()
        self._queues = {
            *dict(topology.sinks()),
            topology.catalog,
            *(queue for queue, _ in topology.work_queues()),
        }
        self._delayed = {
            topology.retry(queue, step_s): retry(queue)
            for queue, _ in topology.work_queues()
            for step_s in topology.waits_s
        }
        self._watching: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Connected, every group made, the server takes writes, and every consumer reads."""
        return (
            self._reachable
            and all(consumer.is_consuming for consumer in self._consumers)
            and self._watching is not None
            and not self._watching.done()
        )

    @property
    def blocked(self) -> str:
        """With what words the server refused the last write, until it takes one again; empty where it takes them."""
        return self._refusing

    async def publish(self, body: bytes, route: Route, headers: Mapping[str, str] | None = None) -> None:
        """Append to every queue of the route in one step, synced. Raises PublishRefused or PublishUnknown."""
        texts = json.dumps(dict(headers)) if headers else ""
        await self._write(PUBLISH, self._streams(route), (body, route.key, texts), len(body))

    @asynccontextmanager
    async def consume(self, queue: str, prefetch: int) -> AsyncIterator[Deliveries]:
        """Consume a queue for as long as the context lasts; leaving hands back what is unacked."""
        consumer = Consumer(self._url, self._shared, self.topology, queue, prefetch)
        async with run_consumer(consumer, self._consumers, queue) as deliveries:
            yield deliveries

    async def ack(self, delivery: Delivery) -> None:
        """Ack a delivery; nothing where it was handed back meanwhile."""
        acknowledge(delivery)

    async def delay(self, queue: str, body: bytes, step_s: int) -> None:
        """Add to the queue's delayed. Raises like publish."""
        if step_s not in self.topology.waits_s:
            raise ValueError(f"{step_s} s is none of the steps {self.topology.waits_s}")
        await self._write(DELAY, [retry(queue)], (step_s * 1_000, uuid.uuid4().hex[:16], body), len(body))

    async def dead_letter(self, delivery: Delivery, reason: str) -> None:
        """Publish to history as dead, then ack. Raises like publish."""
        await self.publish(delivery.body, self.topology.new(DEAD), {"reason": reason, "queue": delivery.queue})
        await self.ack(delivery)

    async def depth(self, queue: str) -> int:
        """Count ready and unacked; of a step, what waits in all steps of its queue. Raises Unreachable."""
        try:
            if (delayed := self._delayed.get(queue)) is not None:
                return int(await self._shared.call("ZCARD", delayed))
            return int(await self._shared.run(DEPTH, [queue, name_returned_stream(queue)], []))
        except (RedisUnavailable, RedisRefused) as error:
            self._raise_doubt()
            raise Unreachable(f"Redis can't tell the depth of {queue}: {error}") from error

    async def load(self, queue: str) -> Load:
        """Count what waits, and who holds a lease as a consumer. Raises Unreachable."""
        depth = await self.depth(queue)
        try:
            return Load(depth, int(await self._shared.run(CONSUMERS, [queue], [GROUP])))
        except (RedisUnavailable, RedisRefused) as error:
            raise Unreachable(f"Redis can't tell who consumes {queue}: {error}") from error

    def start(self) -> None:
        """Begin to look at the server."""
        self._watching = asyncio.create_task(self._watch(), name="streams:watch")

    async def close(self) -> None:
        """Stop looking."""
        if self._watching is not None:
            await end(self._watching)

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
            self._raise_doubt()
            is_kept_out = _has_written_nothing(error)
            if is_kept_out or isinstance(error, RedisRefused):
                self._refusing = str(error)
            raise (PublishRefused if is_kept_out else PublishUnknown)(str(error)) from error

    def _raise_doubt(self) -> None:
        self._reachable = False
        self._doubt.set()

    async def _watch(self) -> None:
        """Know whether the server answers and takes writes; make the groups after every absence, and again."""
        loop = asyncio.get_running_loop()
        declare_at = 0.0
        while True:
            self._doubt.clear()
            try:
                if self._refusing:
                    await self._shared.call("SET", f"{self.topology.prefix}.probe", "1", "PX", 1_000)
                    self._refusing = ""
                if not self._reachable:
                    await self._warn_where_it_may_forget()
                if not self._reachable or loop.time() >= declare_at:
                    await self._declare()
                    declare_at = loop.time() + self._redeclare_s
                else:
                    await self._shared.call("PING")
            except (RedisUnavailable, RedisRefused) as error:
                self._watch_changes(reachable=False, reason=str(error))
                await asyncio.sleep(LOOK_S / 2)
                continue
            self._watch_changes(reachable=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._doubt.wait()

    def _watch_changes(self, *, reachable: bool, reason: str = "") -> None:
        if reachable and not self._reachable:
            log.info("broker_connected")
        if not reachable and self._reachable:
            log.warning("broker_unavailable", why=reason)
        self._reachable = reachable

    async def _warn_where_it_may_forget(self) -> None:
        """Say aloud where the server is not set to keep what it accepts: then our promise is not ours to keep."""
        for name, value in DURABLE.items():
            try:
                is_set = await self._shared.call("CONFIG", "GET", name)
            except RedisRefused:  # CONFIG is closed to us, as hosted servers do: their operator knows
                return
            if value.encode() not in (is_set.values() if isinstance(is_set, dict) else is_set):
                log.error("broker_may_forget", setting=name, remedy=f"set {name} {value}")

    async def _declare(self) -> None:
        streams = [name for queue in sorted(self._queues) for name in (queue, name_returned_stream(queue))]
        await self._shared.run(DECLARE, streams, [GROUP])


@asynccontextmanager
async def connect(url: str, topology: Topology, *, redeclare_s: float = REDECLARE_S) -> AsyncIterator[Broker]:
    """Open Redis Streams for as long as the context lasts; returns at once, `ready` tells when it is connected."""
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
