"""How far a service is behind its queue: for Prometheus, and for answers that say up to when they are complete."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Gauge

from imsg_contract.topology import RECORDED_BY_ALL, recorded_key
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script

POLL_S = 1.0

FORGET_S = 60.0
"""How long the mark of a replica that no longer writes it counts: within two heartbeats of AMQP (30 s each) RabbitMQ
has handed a dead replica's deliveries to the others."""

_SHARE = Script.of("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] ~= '' then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. now) end
local fields, least = redis.call('HGETALL', KEYS[1]), nil
for at = 1, #fields, 2 do
  local mark, written = string.match(fields[at + 1], '^(%d+) (%d+)$')
  if mark and now - written > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], fields[at])
  elseif mark and (not least or tonumber(mark) < tonumber(least)) then
    least = mark
  end
end
if least then redis.call('HSET', KEYS[1], ARGV[4], least) end
return least
""")
"""ARGV: the replica, its mark ('' without one), how long a mark counts in ms, the field of the smallest mark."""


class QueueLag:
    """How far the replicas of one consumer are in their queue. Times are Unix milliseconds.

    A replica's mark: all that was published before the queue was last seen empty has been recorded, and, since a queue
    keeps its order, all that is older than the oldest of the batch in hand. The replicas share their marks in Redis;
    the smallest holds for the queue, since RabbitMQ tells what other replicas hold 5 s late.
    """

    def __init__(
        self,
        queue: str,
        depth: Callable[[], Awaitable[int]],
        unavailable: type[Exception],
        redis: Redis,
        *,
        registry: CollectorRegistry,
        now_ms: Callable[[], int],
    ) -> None:
        """`depth` counts what waits in the queue, unacked included; it raises `unavailable`."""
        self._queue = queue
        self._count = depth
        self._unavailable = unavailable
        self._redis = redis
        self._now_ms = now_ms
        self._replica = secrets.token_hex(8)
        self._mark_ms: int | None = None
        self._shared_ms: int | None = None
        self._depth = Gauge(
            "imsg_consumer_queue_depth",
            "What waits in the queue of a service that records, unacked included",
            ("queue",),
            registry=registry,
        ).labels(queue)
        self._oldest = Gauge(
            "imsg_consumer_queue_oldest_seconds",
            "How old the oldest is that such a service has not recorded",
            ("queue",),
            registry=registry,
        ).labels(queue)
        self._oldest.set_function(self._find_age_s)

    @property
    def as_of_ms(self) -> int | None:
        """Up to when all replicas have recorded everything, a second old at most; None until that is known."""
        return self._shared_ms

    def record(self, oldest_ms: float) -> None:
        """Record the time of the oldest message in a batch that is about to be recorded."""
        self._mark_ms = max(self._mark_ms or 0, int(oldest_ms))

    async def run(self, stopping: asyncio.Event) -> None:
        """Share the mark until `stopping`; then withdraw it, since the replica processes no more batches."""
        while not stopping.is_set():
            await self.update()
            await asyncio.sleep(POLL_S)
        with suppress(RedisUnavailable, RedisRefused):
            await self._redis.call("HDEL", recorded_key(self._queue), self._replica)

    async def update(self) -> None:
        """Measure the queue once, and share the mark."""
        now_ms = self._now_ms()
        with suppress(self._unavailable):
            depth = await self._count()
            self._depth.set(depth)
            if depth == 0:
                self.record(now_ms)
        mark = "" if self._mark_ms is None else self._mark_ms
        arguments = [self._replica, mark, round(FORGET_S * 1_000), RECORDED_BY_ALL]
        with suppress(RedisUnavailable, RedisRefused):
            least = await self._redis.run(_SHARE, [recorded_key(self._queue)], arguments)
            self._shared_ms = None if least is None else int(least)

    def _find_age_s(self) -> float:
        return 0.0 if self._mark_ms is None else max(self._now_ms() - self._mark_ms, 0) / 1_000
