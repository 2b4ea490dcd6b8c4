"""Writing batches of deliveries: read, merged, committed. Halving finds a bad delivery, which becomes a dead letter."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram

from imsg_broker.port import Delivery
from imsg_contract.wire import Outcomes
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.database import BadRow, Database
from imsg_history.facts import NOT_RECORDED, make_dead_letter, read_fact
from imsg_history.ids import first_id
from imsg_history.legs import has_early
from imsg_history.merge import MergedBatch
from imsg_history.receipt_matching import ReceiptMatcher
from imsg_history.reply_matching import ReplyMatcher
from imsg_history.row_writer import RowWriter
from imsg_people.tombstones import Digests
from imsg_runtime.logs import logger

log = logger(__name__)

INLINE_BYTES = 64 * 1024
"""A longer batch is read in a thread: a request of 10,000 recipients would delay queries by 50 ms."""


LAGS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400)
"""Most receipts come within seconds; an SMS to a phone that is off is reported for up to three days."""

NO_DIGESTS = Digests(())


class WriterMetrics:
    """Metrics of the writer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.late = Counter(
            "imsg_history_late_events_total", "Events of requests past their retention", registry=registry
        )
        self.dead = Counter("imsg_history_dead_letters_total", "Deliveries kept as dead letters", registry=registry)
        self.lag = Histogram(
            "imsg_receipt_lag_seconds",
            "From the attempt that sent a message to the provider's receipt",
            ["provider"],
            buckets=LAGS_S,
            registry=registry,
        )


class BatchWriter:
    """Turns deliveries into rows. Repeated deliveries, in any order, change nothing."""

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        retention: timedelta,
        metrics: WriterMetrics,
        digests: Digests = NO_DIGESTS,
        *,
        wake: Callable[[], None] = lambda: None,
        reply_matcher: ReplyMatcher | None = None,
        report_oldest: Callable[[datetime], None] = lambda _: None,
        zone: tzinfo = UTC,
    ) -> None:
        """`digests` find erased people; without a key it finds none. `wake` is called when events were inserted.

        `report_oldest` is called with the time of the oldest fact of each batch. Day facts count days of `zone`.
        """
        self._database = database
        self._now = now
        self._retention = retention
        self._zone = zone
        self._metrics = metrics
        self._writer = RowWriter(digests, is_postgres=database.is_postgres)
        self._receipt_matcher = ReceiptMatcher(database, self._writer, digests, wake)
        self._reply_matcher = reply_matcher
        self._wake = wake
        self._report_oldest = report_oldest

    async def write(self, batch: Sequence[Delivery]) -> None:
        """Write a batch; it is committed when this returns.

        Raises DatabaseUnavailable; the caller may then write the whole batch again.
        """
        now = self._now()
        oldest = first_id(now - self._retention)
        try:
            if sum(len(delivery.body) for delivery in batch) > INLINE_BYTES:
                merged = await asyncio.to_thread(_merge_batch, batch, now, oldest, self._zone)
            else:
                merged = _merge_batch(batch, now, oldest, self._zone)
            if (oldest_at := merged.find_oldest()) is not None:
                self._report_oldest(oldest_at)
            await self._commit(merged)
            if about := merged.list_requests():
                log.info("recorded", requests=about)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # an edge: whatever is wrong is wrong with one delivery
            if len(batch) > 1:
                middle = len(batch) // 2
                await self.write(batch[:middle])
                await self.write(batch[middle:])
                return
            if not isinstance(error, BadRow):
                log.exception("bug")
            merged = MergedBatch(now, oldest, zone=self._zone)
            merged.add(make_dead_letter(batch[0], NOT_RECORDED, f"{type(error).__name__}: {error}"))
            await self._commit(merged)

    async def write_outcomes(self, outcomes: Outcomes) -> None:
        """Write outcomes of history itself; they are committed when this returns. Raises DatabaseUnavailable."""
        now = self._now()
        merged = MergedBatch(now, first_id(now - self._retention), zone=self._zone)
        merged.add(outcomes)
        await self._commit(merged)

    async def _commit(self, merged: MergedBatch) -> None:
        if await self._database.write(lambda connection: self._writer.write(connection, merged)):
            self._wake()
        await self._write_early_progress(merged.list_with_legs())
        lags = await self._receipt_matcher.match(merged)
        for _, provider, lag_s in lags:
            self._metrics.lag.labels(provider).observe(lag_s)
        if lags:
            log.info("receipts_matched", requests=sorted({request for request, *_ in lags}))
        if merged.replies and self._reply_matcher is not None:
            await self._reply_matcher.match(self._now())
        self._metrics.late.inc(merged.late)
        self._metrics.dead.inc(len(merged.dead))
        for letter in merged.dead.values():
            job = merged.dead_jobs.get(letter.id)
            about = {"request": job.request} if job is not None else {}
            log.warning("dead_letter", id=letter.id, reason=letter.reason, queue=letter.queue, **about)

    async def _write_early_progress(self, names: Sequence[str]) -> None:
        is_postgres = self._database.is_postgres
        if not names or not await self._database.read(partial(has_early, names=names, is_postgres=is_postgres)):
            return  # nearly always: a write transaction would cost more than this look
        if await self._database.write(lambda connection: self._writer.write_early_progress(connection, names)):
            self._wake()


def _merge_batch(batch: Sequence[Delivery], now: datetime, oldest: str, zone: tzinfo) -> MergedBatch:
    merged = MergedBatch(now, oldest, zone=zone)
    for delivery in batch:
        merged.add(read_fact(delivery))
    return merged
