"""Record into the database of history, and read it."""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry
from sqlalchemy import select

from imsg_broker.port import Delivery
from imsg_contract.errors import Refusal
from imsg_contract.prices import PriceList
from imsg_contract.wire import Job
from imsg_history.database import Database
from imsg_history.pagination import Page
from imsg_history.queries import MessagesQuery, V1MessagesQuery
from imsg_history.query import MessageQuery
from imsg_history.tables import COUNTS, DIMENSIONS, LATENCY_COUNTS, day_facts, messages, requests
from imsg_history.writer import BatchWriter, WriterMetrics
from imsg_testing.callers import user
from imsg_testing.history import NOW, make_delivery
from imsg_web.callers import Caller

ADMIN = user("admin", role="admin")
OWNER = user()
"""Whose the jobs of `imsg_testing.history.job` are."""

RETENTION = timedelta(days=90)


def make_writer(database: Database, registry: CollectorRegistry | None = None) -> BatchWriter:
    """Make what records into a database, at `NOW`."""
    return BatchWriter(database, lambda: NOW, RETENTION, WriterMetrics(registry or CollectorRegistry()))


async def record(database: Database, *batch: Any) -> None:  # noqa: ANN401  messages or deliveries
    """Record one batch."""
    await make_writer(database).write(
        [event if isinstance(event, Delivery) else make_delivery(event) for event in batch]
    )


async def find(database: Database, caller: Caller = ADMIN, **filters: str) -> list[dict[str, Any]]:
    """Run a query and return its messages in the shape of v1."""
    return (await MessageQuery(database).find_v1(V1MessagesQuery.model_validate(filters), caller)).rows


async def find_page(database: Database, caller: Caller = ADMIN, **filters: str) -> Page:
    """Find a page of messages as v2 shows them."""
    return await MessageQuery(database).find(MessagesQuery.model_validate(filters), caller, PriceList())


async def find_all_ids(database: Database, caller: Caller = ADMIN, **filters: str) -> list[str]:
    """Follow a query's cursors to the end and return the messages' ids."""
    finder, ids, cursor = MessageQuery(database), list[str](), "start"
    given = dict(filters)
    while cursor:
        page = await finder.find_v1(V1MessagesQuery.model_validate(given), caller)
        ids += [message["id"] for message in page.rows]
        cursor = page.next or ""
        given["cursor"] = cursor
    return ids


async def read_statuses(database: Database, of: Job) -> list[str]:
    """Return the statuses of a job's messages by their numbers."""
    return [message["status"] for message in await find(database, id=of.request, limit="500")]


Facts = dict[tuple[str, ...], Counter[str]]
"""Counts by the dimensions of day facts."""


async def read_day_facts(database: Database) -> Facts:
    """Read the day facts that count anything, and of them the counts that are not 0."""
    rows = [row._mapping for row in await database.fetch(select(day_facts))]
    facts = {tuple(row[name] for name in DIMENSIONS): Counter({n: row[n] for n in COUNTS if row[n]}) for row in rows}
    return {key: fact for key, fact in facts.items() if fact}


async def count_messages(database: Database) -> Facts:
    """Count the rows of messages as day facts should have counted them."""
    query = select(
        *(
            requests.c[name]
            for name in (
                "day",
                "user_id",
                "username",
                "department",
                "key",
                "method",
                "template",
                "category",
                "segments",
            )
        ),
        *(messages.c[name] for name in ("status", "provider", "sent_in", "delivered_in", "country")),
        *(messages.c[name] for name in ("billed_segments", "billed", "currency")),
    ).join(requests, requests.c.request == messages.c.request)
    facts: Facts = defaultdict(Counter)
    for row in await database.fetch(query.where(messages.c.username.is_not(None))):
        fact = facts[
            row.day, row.user_id or "", row.username, row.department or "", row.key or "", row.method,
            row.provider or "", row.template or "", row.category, row.country or "", row.currency or "",
        ]  # fmt: skip
        fact["messages"] += 1
        fact["sent"] += row.status in ("sent", "delivered")
        fact["delivered"] += row.status == "delivered"
        fact["failed"] += row.status in ("failed", "expired")
        fact["uncertain"] += row.status == "uncertain"
        fact["segments"] += row.segments or 0
        if row.billed is not None:
            fact["billed"] += row.billed
        elif row.status in ("sent", "delivered", "uncertain") or row.sent_in is not None:
            fact["charged"] += 1
            fact["charged_segments"] += row.billed_segments or row.segments or 1
            fact["estimated"] += row.billed_segments is None
        for kind, bucket in (("sent", row.sent_in), ("delivered", row.delivered_in)):
            if bucket is not None:
                fact[LATENCY_COUNTS[kind][bucket]] += 1
    return {key: +fact for key, fact in facts.items()}


async def catch_refusal(call: Callable[[], Awaitable[object]]) -> str:
    """Return the reason of a refusal. Raises AssertionError if the call succeeds."""
    try:
        await call()
    except Refusal as refusal:
        return refusal.reason
    raise AssertionError("it was not refused")
