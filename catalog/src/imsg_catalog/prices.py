"""The prices of providers: one list, replaced whole, and published in Redis for gateways and history."""

import asyncio
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Broker
from imsg_catalog.tables import PRICES as TABLE
from imsg_contract.prices import Price, write_amount, write_prices
from imsg_contract.topology import CHANGE, PRICES
from imsg_database.database import Database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_web.audit import make_change
from imsg_web.callers import Caller
from imsg_web.etags import require_match

log = logger(__name__)

LOCK = zlib.crc32(b"imsg prices")
"""PostgreSQL's advisory lock for changing and publishing the list, so that versions are published in order."""

POLL_S = 1.0
"""How often it is checked that Redis has the prices."""

SLICE = 500


class Prices:
    """The operations on prices. All raise DatabaseUnavailable."""

    def __init__(self, database: Database, redis: Redis, broker: Broker, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._redis = redis
        self._broker = broker
        self._now_ms = now_ms

    async def find(self) -> tuple[Price, ...]:
        """Read the list."""
        async with self._database.reading() as connection:
            return await _read(connection)

    async def replace(self, by: Caller, prices: Sequence[Price], if_match: str | None) -> tuple[Price, ...]:
        """Replace the list and return it, in its order; it is published when this returns.

        Raises Refusal of `require_match`; RedisUnavailable, RedisRefused, PublishRefused, PublishUnknown, and then
        nothing is replaced.
        """
        async with self._database.writing() as connection:
            await _lock(connection)
            before = await _read(connection)
            require_match(if_match, before)
            await connection.execute(delete(TABLE))
            rows = [{**price._asdict(), "country": price.country or ""} for price in prices]
            for first in range(0, len(rows), SLICE):
                await connection.execute(insert(TABLE), rows[first : first + SLICE])
            after = await _read(connection)
            await self._publish_audit(by, before, after)
            await self._redis.call("SET", PRICES, write_prices(after))
        return after

    async def run(self) -> None:
        """Publish the prices again wherever Redis lacks them, until cancelled."""
        problem = RecurringProblem(log, "prices_not_published")
        is_first = True  # what Redis has may be older than the table: of a restored backup
        while True:
            with problem.catch(RedisUnavailable, RedisRefused, DatabaseUnavailable):
                if is_first or not await self._redis.call("EXISTS", PRICES):
                    async with self._database.writing() as connection:
                        await _lock(connection)
                        await self._redis.call("SET", PRICES, write_prices(await _read(connection)))
                is_first = False
            await asyncio.sleep(POLL_S)

    async def _publish_audit(self, by: Caller, before: Sequence[Price], after: Sequence[Price]) -> None:
        old, new = set(before), set(after)
        removed = [_describe(price) for price in before if price not in new]
        added = [_describe(price) for price in after if price not in old]
        at = datetime.fromtimestamp(self._now_ms() / 1_000, UTC)
        change = make_change(by, "prices", "prices", at, before={"prices": removed}, after={"prices": added})
        await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))


def _describe(price: Price) -> dict[str, Any]:
    """Describe a price for the audit, its amount as the API writes it."""
    fields = price._asdict()
    return {"amount": write_amount(fields.pop("micros")), **fields}


async def _lock(connection: AsyncConnection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        await connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


async def _read(connection: AsyncConnection) -> tuple[Price, ...]:
    order = (TABLE.c.method, TABLE.c.provider, TABLE.c.country, TABLE.c.since)
    rows = (await connection.execute(select(TABLE).order_by(*order))).mappings()
    return tuple(Price(**{**row, "country": row["country"] or None}) for row in rows)
