"""How far a service is behind its queue: for Prometheus, and for answers that say up to when they are complete."""

import asyncio
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Gauge

LOOK_S = 1.0


class QueueLag:
    """What one consumer knows of its place in its queue. Times are Unix milliseconds.

    All that was published before the queue was last seen empty has been recorded, and, since a queue keeps its order,
    all that is older than the oldest of the batch in hand. Of what other replicas hold RabbitMQ tells 5 s late.
    """

    def __init__(
        self,
        queue: str,
        depth: Callable[[], Awaitable[int]],
        unavailable: type[Exception],
        registry: CollectorRegistry,
        now_ms: Callable[[], int],
    ) -> None:
        """`depth` counts what waits in the queue, unacked included; it raises `unavailable`."""
        self._count = depth
        self._unavailable = unavailable
        self._now_ms = now_ms
        self._mark_ms: int | None = None
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
        """Up to when everything is recorded; None until that is known."""
        return self._mark_ms

    def take(self, oldest_ms: float) -> None:
        """Note the time of the oldest in a batch that is about to be recorded."""
        self._mark_ms = max(self._mark_ms or 0, int(oldest_ms))

    async def run(self, stopping: asyncio.Event) -> None:
        """Look at the queue until `stopping`."""
        while not stopping.is_set():
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look at the queue once."""
        now_ms = self._now_ms()
        try:
            depth = await self._count()
        except self._unavailable:
            return
        self._depth.set(depth)
        if depth == 0:
            self.take(now_ms)

    def _find_age_s(self) -> float:
        return 0.0 if self._mark_ms is None else max(self._now_ms() - self._mark_ms, 0) / 1_000
