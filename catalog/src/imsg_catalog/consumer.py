"""The consumer of the catalog's queue: suppressions from senders are stored, mirrored, and then acknowledged."""

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from pydantic import ValidationError

from imsg_broker.batches import acknowledge, process_until_done
from imsg_broker.port import Broker, Delivery, PublishRefused, PublishUnknown
from imsg_catalog.suppressions import Suppressions
from imsg_contract.suppressions import Suppression
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.queue_lag import QueueLag
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.watermark import Watermark

log = logger(__name__)

BATCH = 200

AWAY = (DatabaseUnavailable, RedisUnavailable, RedisRefused, PublishRefused, PublishUnknown)


class ConsumerMetrics:
    """Metrics of the consumer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.learned = Counter(
            "imsg_catalog_learned_total", "Suppressions that senders reported", ["reason"], registry=registry
        )
        self.failures = Counter(
            "imsg_catalog_learning_failures_total", "Batches that could not be kept, and come again", registry=registry
        )
        self.dead = Counter("imsg_catalog_dead_letters_total", "Messages that could not be read", registry=registry)
        self.seconds = Histogram(
            "imsg_catalog_batch_duration_seconds", "How long a batch takes to be kept", registry=registry
        )


class SuppressionConsumer:
    """Consumes the catalog's queue.

    While the database or Redis is down, nothing is acknowledged, and the batch is processed again.
    """

    def __init__(
        self, broker: Broker, suppressions: Suppressions, watermark: Watermark, counts: ConsumerMetrics, lag: QueueLag
    ) -> None:
        self._broker = broker
        self._suppressions = suppressions
        self._watermark = watermark
        self._counts = counts
        self._lag = lag

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping` or cancelled; what is not acknowledged by then is delivered again."""
        problem = RecurringProblem(log, "suppressions_not_kept")
        async with self._broker.consume(self._broker.topology.catalog, BATCH) as deliveries:
            self._watermark.record_wait()
            while not stopping.is_set() and (batch := await deliveries.receive_batch(BATCH)):
                self._watermark.record_delivery()
                await process_until_done(batch, self._measure, AWAY, problem)
                self._watermark.record_wait()

    async def _measure(self, batch: Sequence[Delivery]) -> None:
        try:
            with self._counts.seconds.time():
                await self._process(batch)
        except AWAY:
            self._counts.failures.inc()
            raise

    async def _process(self, batch: Sequence[Delivery]) -> None:
        read: list[tuple[Delivery, Suppression]] = []
        for delivery in batch:
            try:
                read.append((delivery, Suppression.model_validate_json(delivery.body)))
            except ValidationError as error:
                log.error("dead_lettered", queue=delivery.queue)  # noqa: TRY400  the log must not hold the body
                self._counts.dead.inc()
                await self._broker.dead_letter(delivery, f"unreadable: {error.error_count()} fields are not right")
        if not read:
            return
        suppressions = [suppression for _, suppression in read]
        self._lag.record(min(suppression.at for suppression in suppressions).timestamp() * 1_000)
        new = await self._suppressions.process(suppressions)
        for suppression in suppressions:
            self._counts.learned.labels(suppression.reason.value).inc()
        self._watermark.record_delivery(max(suppression.at for suppression in suppressions).timestamp() * 1_000)
        await acknowledge(self._broker, [delivery for delivery, _ in read])
        log.info("suppressions_processed", count=len(read), new=new)
