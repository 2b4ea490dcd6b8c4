"""The periodic work of callbacks: recoveries, erasures, removal of old events, and expiry of listeners."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Row, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_callbacks.delivery_log import make_due
from imsg_callbacks.erasure import EventErasure
from imsg_callbacks.listeners import Listeners
from imsg_callbacks.matching import wants
from imsg_callbacks.records import read_endpoint
from imsg_callbacks.tables import DELIVERED, IS_WAITING, REMOVED, deliveries, endpoints, facts, recoveries
from imsg_callbacks.tables import log as events
from imsg_database.database import Database
from imsg_database.engines import is_postgres
from imsg_database.inserts import insert_into
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.service_client import ServiceUnavailable

log = logger(__name__)

RUN_EVERY_S = 5.0
SYNCHRONIZE_EVERY_S = 3_600.0
SLICE = 500
"""Events read or removed in one transaction."""

EVENT_RETENTION = timedelta(days=18)
"""How long an event is kept: the 14 days of a recovery, and the 76 hours that its last attempt may take."""


class MaintenanceMetrics:
    """The Prometheus gauges of deliveries and endpoints."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge("imsg_callback_deliveries_waiting", "Deliveries that wait", registry=registry)
        self.oldest = Gauge(
            "imsg_callback_delivery_oldest_seconds",
            "How long the oldest due delivery of an enabled endpoint has been due",
            registry=registry,
        )
        self.failing = Gauge("imsg_callback_endpoints_failing", "Endpoints whose last call failed", registry=registry)


@dataclass(slots=True)
class Maintenance:
    """Runs the periodic work until it is stopped. Several processes may run it at the same time."""

    database: Database
    listeners: Listeners
    erasure: EventErasure
    now: Callable[[], int]
    wake: Callable[[], None]
    metrics: MaintenanceMetrics
    synchronize_at: float = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Run everything every 5 s until `stopping`."""
        problem = RecurringProblem(log, "maintenance_delayed")
        while not stopping.is_set():
            with problem.catch(DatabaseUnavailable, ServiceUnavailable, RedisUnavailable, RedisRefused):
                await self.run_once()
            with suppress(TimeoutError):
                async with asyncio.timeout(RUN_EVERY_S):
                    await stopping.wait()

    async def run_once(self) -> None:
        """Run everything once. Raises DatabaseUnavailable, ServiceUnavailable, RedisUnavailable, RedisRefused."""
        while await self.recover():
            self.wake()
        await self._measure()
        await self.erasure.erase_recorded()
        await self.remove_old()
        now = asyncio.get_running_loop().time()
        if now >= self.synchronize_at:
            await self.listeners.synchronize(all_users=not self.synchronize_at)
            self.synchronize_at = now + SYNCHRONIZE_EVERY_S

    async def recover(self) -> bool:
        """Make due the undelivered events in one slice of a recovery; return False if there is no recovery."""
        async with self.database.writing() as connection:
            query = select(recoveries).order_by(recoveries.c.id).limit(1).with_for_update(skip_locked=True)
            recovery = (await connection.execute(query)).first()
            if recovery is None:
                return False
            row = (
                (await connection.execute(select(endpoints).where(endpoints.c.id == recovery.endpoint)))
                .mappings()
                .first()
            )
            rows = (
                []
                if row is None
                else await self._read_slice(connection, row["user_id"], recovery.position, recovery.until)
            )
            if row is None or not rows:
                await connection.execute(delete(recoveries).where(recoveries.c.id == recovery.id))
                return True
            endpoint = read_endpoint(row)
            wanted = [
                event.number for event in rows if wants(endpoint.events, endpoint.methods, event.type, event.method)
            ]
            is_delivered = deliveries.c.endpoint == endpoint.id, deliveries.c.state == DELIVERED
            known = select(deliveries.c.number).where(*is_delivered, deliveries.c.number.in_(wanted))
            delivered = set((await connection.execute(known)).scalars())
            if numbers := [number for number in wanted if number not in delivered]:
                await make_due(connection, endpoint.id, numbers, self.now())
            position = update(recoveries).where(recoveries.c.id == recovery.id).values(position=rows[-1].number)
            await connection.execute(position)
        return True

    async def _read_slice(
        self, connection: AsyncConnection, user_id: str, position: int, until: int
    ) -> Sequence[Row[Any, Any, Any]]:
        query = (
            select(events.c.number, events.c.type, events.c.method)
            .where(events.c.user_id == user_id, events.c.number > position, events.c.kept_at < until)
            .order_by(events.c.number)
            .limit(SLICE)
        )
        return (await connection.execute(query)).all()

    async def _measure(self) -> None:
        async with self.database.reading() as connection:
            waiting = await connection.scalar(select(func.count()).select_from(deliveries).where(IS_WAITING))
            is_failing = endpoints.c.failing_since.is_not(None) & endpoints.c.disabled_at.is_(None)
            failing = await connection.scalar(select(func.count()).select_from(endpoints).where(is_failing))
            is_enabled = exists().where(endpoints.c.id == deliveries.c.endpoint, endpoints.c.disabled_at.is_(None))
            due = select(func.min(deliveries.c.due_at)).where(IS_WAITING, is_enabled)
            oldest_ms = await connection.scalar(due)
        self.metrics.waiting.set(waiting or 0)
        self.metrics.oldest.set(0 if oldest_ms is None else max(self.now() - oldest_ms, 0) / 1_000)
        self.metrics.failing.set(failing or 0)

    async def remove_old(self) -> None:
        """Remove events older than `EVENT_RETENTION`. Cursors before the highest removed number then have expired."""
        before = self.now() - EVENT_RETENTION // timedelta(milliseconds=1)
        while True:
            async with self.database.writing() as connection:
                query = select(events.c.number).where(events.c.kept_at < before).order_by(events.c.kept_at).limit(SLICE)
                numbers = list((await connection.execute(query)).scalars())
                if not numbers:
                    return
                await _raise_fact(connection, REMOVED, max(numbers))
                await connection.execute(delete(deliveries).where(deliveries.c.number.in_(numbers)))
                await connection.execute(delete(events).where(events.c.number.in_(numbers)))


async def _raise_fact(connection: AsyncConnection, name: str, value: int) -> None:
    statement = insert_into(facts, is_postgres=is_postgres(connection)).values(name=name, value=value)
    is_higher = facts.c.value < statement.excluded.value
    change = statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}, where=is_higher)
    await connection.execute(change)
