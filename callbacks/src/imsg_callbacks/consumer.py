"""Consumes the callbacks queue: records events in the log, and applies changes of users to their endpoints."""

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
"""Broker deliveries in one transaction; each holds up to 500 events."""

FIRST_WAIT_S = 0.05
MAX_WAIT_S = 5.0


class ConsumerMetrics:
    """The Prometheus metrics of the consumer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter("imsg_callback_events_total", "Events appended to the log", registry=registry)


@dataclass(frozen=True, slots=True)
class EventConsumer:
    """Consumes callbacks' queue until it is stopped. A redelivered event changes nothing."""

    broker: Broker
    database: Database
    erasure: EventErasure
    dispatcher: Dispatcher
    now: Callable[[], int]
    wake: Callable[[Collection[str]], None]
    """Wakes the readers of these users' events."""
    metrics: ConsumerMetrics
    lag: QueueLag

    async def run(self, stopping: asyncio.Event) -> None:
        """Consume until `stopping`; the broker redelivers what is not acked by then."""
        async with self.broker.consume(self.broker.topology.callbacks, 2 * BATCH) as queue:
            stopped = asyncio.create_task(stopping.wait())
            tasks: list[asyncio.Future[Any]] = [stopped]
            try:
                while not stopping.is_set():
                    self.erasure.watermark.record_wait()
                    received = asyncio.ensure_future(queue.receive_batch(BATCH))
                    tasks[1:] = [received]
                    await asyncio.wait({received, stopped}, return_when=asyncio.FIRST_COMPLETED)
                    if not received.done() or not (batch := received.result()):
                        return
                    self.erasure.watermark.record_delivery()
                    await self._record(batch, stopping)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _record(self, batch: Sequence[Delivery], stopping: asyncio.Event) -> None:
        """Record a batch and ack it; dead-letter unreadable deliveries. The broker redelivers the rest at a stop."""
        events: list[Event] = []
        changes: list[Change] = []
        readable: list[Delivery] = []
        for delivery in batch:
            try:
                if delivery.key == CHANGE:
                    changes.append(Change.model_validate_json(delivery.body))
                else:
                    events += Events.model_validate_json(delivery.body).events
                readable.append(delivery)
            except ValidationError as error:
                with suppress(PublishRefused, PublishUnknown):  # then the broker redelivers it
                    await self.broker.dead_letter(delivery, f"unreadable: {str(error)[:300]}")
        failures, problem = 0, RecurringProblem(log, "events_not_kept")
        while readable and not stopping.is_set():
            try:
                await self._write(events, changes)
            except (DatabaseUnavailable, RedisUnavailable, RedisRefused) as error:
                failures += 1
                problem.report(error, waiting=len(readable))
                draw = random.random()  # noqa: S311  jitter
                await asyncio.sleep(back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=MAX_WAIT_S))
                continue
            problem.clear()
            for delivery in readable:
                with suppress(Unreachable):
                    await self.broker.ack(delivery)
            return

    async def _write(self, events: Sequence[Event], changes: Sequence[Change]) -> None:
        arriving = [(self._make_logged(event), to_ms(event.at.astimezone(UTC))) for event in events]
        if arriving:
            self.lag.record(min(at for _, at in arriving))
        async with self.database.writing() as connection:
            for change in changes:
                await apply_change(connection, change)
            await lock_log(connection)
            logged = await self.erasure.redact_arriving(arriving)
            appended = await append(connection, logged, self.now(), lease=self.dispatcher.lease())
        self.erasure.watermark.record_delivery(max((at for _, at in arriving), default=0))
        if appended.numbers:
            self.dispatcher.enqueue(appended.leased, appended.remaining)
            self.metrics.events.inc(len(appended.numbers))
            self.wake({event.user_id for event in logged})

    def _make_logged(self, event: Event) -> LoggedEvent:
        digests = self.erasure.digests.all_of(event.address) if event.address else ()
        named = self.erasure.find_named(event.data)
        return LoggedEvent(event.id, event.type, event.user_id, event.method, write_body(event), digests, named)


def write_body(event: Event) -> str:
    """Write the body of an event's calls: JSON with `id`, and with Standard Webhooks' `type`, `timestamp`, `data`."""
    at = rfc3339(to_ms(event.at.astimezone(UTC)))
    return to_json({"id": event.id, "type": event.type, "timestamp": at, "data": event.data}).decode()


async def apply_change(connection: AsyncConnection, change: Change) -> None:
    """Apply a change of a user: update the role of their endpoints, or remove the endpoints with the user."""
    if change.target_id is None:
        return
    role = (change.after or {}).get("role")
    if change.action == "update" and role is not None:
        is_admin = role == "admin"
        for table in (endpoints, listeners):
            await connection.execute(update(table).where(table.c.user_id == change.target_id).values(is_admin=is_admin))
    if change.action == "delete":
        names = list(
            (await connection.execute(select(endpoints.c.id).where(endpoints.c.user_id == change.target_id))).scalars()
        )
        await _remove_user(connection, names, change.target_id)


async def _remove_user(connection: AsyncConnection, names: Iterable[str], user_id: str) -> None:
    await connection.execute(delete(deliveries).where(deliveries.c.endpoint.in_(names)))
    await connection.execute(delete(recoveries).where(recoveries.c.endpoint.in_(names)))
    await connection.execute(delete(endpoints).where(endpoints.c.user_id == user_id))
    await connection.execute(delete(listeners).where(listeners.c.user_id == user_id))
