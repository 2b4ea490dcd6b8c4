"""Periodic work: recoveries, erasures, removal of old events, and listeners that expired."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import Row, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_callbacks.delivery_log import begin
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

EVERY_S = 5.0
SYNCHRONIZE_EVERY_S = 3_600.0
SLICE = 500
"""Events looked at, or removed, in one transaction."""

KEPT = timedelta(days=18)
"""How long an event is kept: the 14 days of a recovery, and the 76 hours that its last attempt may take."""


class MaintenanceMetrics:
    """What is measured for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge("imsg_callback_deliveries_waiting", "Deliveries that wait", registry=registry)
        self.oldest = Gauge(
            "imsg_callback_delivery_oldest_seconds",
            "How long the delivery has been due that waits longest for an enabled endpoint",
            registry=registry,
        )
        self.failing = Gauge("imsg_callback_endpoints_failing", "Endpoints whose last call failed", registry=registry)


@dataclass(slots=True)
class Maintenance:
    """Runs until it is stopped; several processes do no harm to one another."""

    database: Database
    listeners: Listeners
    erasure: EventErasure
    now: Callable[[], int]
    wake: Callable[[], None]
    metrics: MaintenanceMetrics
    synchronize_at: float = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        """Work again and again."""
        problem = RecurringProblem(log, "maintenance_delayed")
        while not stopping.is_set():
            try:
                await self.once()
            except (DatabaseUnavailable, ServiceUnavailable, RedisUnavailable, RedisRefused) as away:
                problem.note(away)
            else:
                problem.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await stopping.wait()

    async def once(self) -> None:
        """Do all of it once. Raises what can be away."""
        while await self.recover():
            self.wake()
        await self._measure()
        await self.erasure.erase_recorded()
        await self.remove_old()
        now = asyncio.get_running_loop().time()
        if now >= self.synchronize_at:
            await self.listeners.synchronize(everybody=not self.synchronize_at)
            self.synchronize_at = now + SYNCHRONIZE_EVERY_S

    async def recover(self) -> bool:
        """Continue one recovery by a slice; False where there is none."""
        async with self.database.writing() as connection:
            query = select(recoveries).order_by(recoveries.c.id).limit(1).with_for_update(skip_locked=True)
            asked = (await connection.execute(query)).first()
            if asked is None:
                return False
            row = (
                (await connection.execute(select(endpoints).where(endpoints.c.id == asked.endpoint))).mappings().first()
            )
            some = [] if row is None else await self._slice(connection, row["user_id"], asked.position, asked.until)
            if row is None or not some:
                await connection.execute(delete(recoveries).where(recoveries.c.id == asked.id))
                return True
            endpoint = read_endpoint(row)
            wanted = [one.number for one in some if wants(endpoint.events, endpoint.methods, one.type, one.method)]
            done = deliveries.c.endpoint == endpoint.id, deliveries.c.state == DELIVERED
            known = select(deliveries.c.number).where(*done, deliveries.c.number.in_(wanted))
            delivered = set((await connection.execute(known)).scalars())
            if numbers := [number for number in wanted if number not in delivered]:
                await begin(connection, endpoint.id, numbers, self.now())
            position = update(recoveries).where(recoveries.c.id == asked.id).values(position=some[-1].number)
            await connection.execute(position)
        return True

    async def _slice(
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
        """Remove what is past its time, the fact of it first: a cursor that points before it has expired."""
        before = self.now() - KEPT // timedelta(milliseconds=1)
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
    is_news = facts.c.value < statement.excluded.value
    change = statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}, where=is_news)
    await connection.execute(change)
