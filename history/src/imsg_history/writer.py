"""Keeping a batch of deliveries: read, folded, committed; a bad one is found by halving and kept as dead."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Counter, Histogram

from imsg_broker.port import Delivery
from imsg_contract.wire import Outcomes
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.database import BadRow, Database
from imsg_history.events import NOT_RECORDED, dead, read
from imsg_history.ids import first_id
from imsg_history.merge import Merge
from imsg_history.receipts import Matcher
from imsg_history.reply_matching import ReplyMatcher
from imsg_history.upserts import Writer
from imsg_people.tombstones import Digests
from imsg_runtime.logs import logger

log = logger(__name__)

INLINE_BYTES = 64 * 1024
"""What is longer is read in a thread: a request of 10,000 recipients would keep queries waiting for 50 ms."""


LAGS_S = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400)
"""Most receipts come within seconds; an SMS to a phone that is off is reported for up to three days."""

NO_DIGESTS = Digests(())


class Counts:
    """What keeping tells Prometheus."""

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
    """Turns deliveries into rows. The same ones again, in any order, change nothing."""

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        retention: timedelta,
        counts: Counts,
        digests: Digests = NO_DIGESTS,
        *,
        wake: Callable[[], None] = lambda: None,
        reply_matcher: ReplyMatcher | None = None,
        take: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        """`digests` tells who was erased; without a key nobody is. `wake` is told that there are events to tell.

        Without `reply_matcher` replies wait for theirs. `take` is told of each batch how old its oldest is.
        """
        self._database = database
        self._now = now
        self._retention = retention
        self._counts = counts
        self._writer = Writer(digests, is_postgres=database.is_postgres)
        self._matcher = Matcher(database, self._writer, digests, wake)
        self._reply_matcher = reply_matcher
        self._wake = wake
        self._take = take

    async def keep(self, batch: Sequence[Delivery]) -> None:
        """Keep a batch: committed when this returns.

        Raises DatabaseUnavailable, and then all of it may be tried again.
        """
        now = self._now()
        oldest = first_id(now - self._retention)
        try:
            if sum(len(delivery.body) for delivery in batch) > INLINE_BYTES:
                fold = await asyncio.to_thread(_merge_batch, batch, now, oldest)
            else:
                fold = _merge_batch(batch, now, oldest)
            if (oldest_at := fold.find_oldest()) is not None:
                self._take(oldest_at)
            await self._commit(fold)
        except DatabaseUnavailable:
            raise
        except Exception as error:  # the worker loop: whatever is wrong is wrong with one delivery
            if len(batch) > 1:
                middle = len(batch) // 2
                await self.keep(batch[:middle])
                await self.keep(batch[middle:])
                return
            if not isinstance(error, BadRow):
                log.exception("bug")
            fold = Merge(now, oldest)
            fold.add(dead(batch[0], NOT_RECORDED, f"{type(error).__name__}: {error}"))
            await self._commit(fold)

    async def record(self, outcomes: Outcomes) -> None:
        """Keep outcomes of our own: committed when this returns. Raises DatabaseUnavailable."""
        now = self._now()
        fold = Merge(now, first_id(now - self._retention))
        fold.add(outcomes)
        await self._commit(fold)

    async def _commit(self, fold: Merge) -> None:
        if await self._database.write(lambda connection: self._writer.write(connection, fold)):
            self._wake()
        for provider, lag_s in await self._matcher.match(fold):
            self._counts.lag.labels(provider).observe(lag_s)
        if fold.replies and self._reply_matcher is not None:
            await self._reply_matcher.match(self._now())
        self._counts.late.inc(fold.late)
        self._counts.dead.inc(len(fold.dead))
        for letter in fold.dead.values():
            log.warning("dead_letter", id=letter.id, reason=letter.reason, queue=letter.queue)


def _merge_batch(batch: Sequence[Delivery], now: datetime, oldest: str) -> Merge:
    fold = Merge(now, oldest)
    for delivery in batch:
        fold.add(read(delivery))
    return fold
