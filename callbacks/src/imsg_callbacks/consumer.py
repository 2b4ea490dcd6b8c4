"""Consumes events from the broker into the log, and changes of users that touch their endpoints."""

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from prometheus_client import CollectorRegistry, Counter
from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Broker, Delivery, PublishRefused, PublishUnknown, Unreachable
from imsg_callbacks.dispatcher import Dispatcher
from imsg_callbacks.erasure import EventErasure
from imsg_callbacks.event_log import append, lock_log
from imsg_callbacks.records import LoggedEvent
from imsg_callbacks.tables import deliveries, endpoints, listeners, recoveries
from imsg_callbacks.times import rfc3339, to_ms
from imsg_contract.topology import CHANGE
from imsg_contract.wire import Change, Event, Events
from imsg_database.database import Database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.queue_lag import QueueLag
from imsg_runtime.redis import RedisRefused, RedisUnavailable

log = logger(__name__)

BATCH = 64
"""Deliveries of the broker in one transaction; each holds up to 500 events."""

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 5.0


class ConsumerMetrics:
    """The metrics of the consumer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter("imsg_callback_events_total", "Events put into the log", registry=registry)


@dataclass(frozen=True, slots=True)
class EventConsumer:
    """Consumes callbacks' queue until it is stopped. A redelivered event changes nothing."""

    broker: Broker
    database: Database
    erasure: EventErasure
    sending: Dispatcher
    now: Callable[[], int]
    wake: Callable[[Collection[str]], None]
    """Wakes the readers of these users' events."""
    metrics: ConsumerMetrics
    lag: QueueLag

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping`; the broker redelivers what is not acked by then."""
        async with self.broker.consume(self.broker.topology.callbacks, 2 * BATCH) as arriving:
            stopped = asyncio.create_task(stopping.wait())
            waiting: list[asyncio.Future[Any]] = [stopped]
            try:
                while not stopping.is_set():
                    self.erasure.watermark.wait()
                    coming = asyncio.ensure_future(arriving.receive_batch(BATCH))
                    waiting[1:] = [coming]
                    await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done() or not (batch := coming.result()):
                        return
                    self.erasure.watermark.take()
                    await self._keep(batch, stopping)
            finally:
                for one in waiting:
                    one.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)

    async def _keep(self, batch: Sequence[Delivery], stopping: asyncio.Event) -> None:
        """Record a batch and ack it; dead-letter what can't be read."""
        events: list[Event] = []
        changes: list[Change] = []
        good: list[Delivery] = []
        for delivery in batch:
            try:
                if delivery.key == CHANGE:
                    changes.append(Change.model_validate_json(delivery.body))
                else:
                    events += Events.model_validate_json(delivery.body).events
                good.append(delivery)
            except ValidationError as error:
                with suppress(PublishRefused, PublishUnknown):  # then it comes again
                    await self.broker.dead_letter(delivery, f"unreadable: {str(error)[:300]}")
        failures, problem = 0, RecurringProblem(log, "events_not_kept")
        while good and not stopping.is_set():
            try:
                await self._write(events, changes)
            except (DatabaseUnavailable, RedisUnavailable, RedisRefused) as away:
                failures += 1
                problem.note(away, waiting=len(good))
                draw = random.random()  # noqa: S311  jitter
                await asyncio.sleep(back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S))
                continue
            problem.clear()
            for delivery in good:
                with suppress(Unreachable):
                    await self.broker.ack(delivery)
            return

    async def _write(self, events: Sequence[Event], changes: Sequence[Change]) -> None:
        arriving = [(self._log(one), to_ms(one.at.astimezone(UTC))) for one in events]
        if arriving:
            self.lag.take(min(at for _, at in arriving))
        async with self.database.writing() as connection:
            for change in changes:
                await follow(connection, change)
            await lock_log(connection)
            named = await self.erasure.redact_arriving(arriving)
            appended = await append(connection, named, self.now(), lease=self.sending.lease())
        self.erasure.watermark.take(max((at for _, at in arriving), default=0))
        if appended.numbers:
            self.sending.enqueue(appended.handed, appended.left)
            self.metrics.events.inc(len(appended.numbers))
            self.wake({one.user_id for one in named})

    def _log(self, event: Event) -> LoggedEvent:
        digests = self.erasure.digests.all_of(event.address) if event.address else ()
        named = self.erasure.find_named(event.data)
        return LoggedEvent(event.id, event.type, event.user_id, event.method, write_body(event), digests, named)


def write_body(event: Event) -> str:
    """Write the body of an event's calls, in the shape of Standard Webhooks with the id inside too."""
    at = rfc3339(to_ms(event.at.astimezone(UTC)))
    return to_json({"id": event.id, "type": event.type, "timestamp": at, "data": event.data}).decode()


async def follow(connection: AsyncConnection, change: Change) -> None:
    """Apply a change of a user: a removed user loses the endpoints, and only administrators get events of channels."""
    if change.subject_id is None:
        return
    if change.action == "update" and change.details.get("role") in ("user", "admin"):
        is_admin = change.details["role"] == "admin"
        for table in (endpoints, listeners):
            await connection.execute(
                update(table).where(table.c.user_id == change.subject_id).values(is_admin=is_admin)
            )
    if change.action == "delete":
        names = list(
            (await connection.execute(select(endpoints.c.id).where(endpoints.c.user_id == change.subject_id))).scalars()
        )
        await _forget(connection, names, change.subject_id)


async def _forget(connection: AsyncConnection, names: Iterable[str], user_id: str) -> None:
    await connection.execute(delete(deliveries).where(deliveries.c.endpoint.in_(names)))
    await connection.execute(delete(recoveries).where(recoveries.c.endpoint.in_(names)))
    await connection.execute(delete(endpoints).where(endpoints.c.user_id == user_id))
    await connection.execute(delete(listeners).where(listeners.c.user_id == user_id))
