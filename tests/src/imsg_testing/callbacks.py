"""The parts of the callbacks service on a database and a clock of the test."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from imsg_callbacks import maintenance
from imsg_callbacks.delivery_log import DeliveryLog
from imsg_callbacks.endpoint_sender import LEASE_MS
from imsg_callbacks.endpoints import Endpoints
from imsg_callbacks.erasure import EventErasure
from imsg_callbacks.event_log import append
from imsg_callbacks.event_reader import EventReader
from imsg_callbacks.main import write_disabled
from imsg_callbacks.maintenance import Maintenance
from imsg_callbacks.migrations import MIGRATIONS
from imsg_callbacks.records import Attempt, Endpoint, LoggedEvent
from imsg_callbacks.schedule import EndpointReply
from imsg_callbacks.vault import Vault
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_people.tombstones import Digests
from imsg_runtime.redis import Redis
from imsg_runtime.watermark import Watermark

USER, OTHER = "0199" + "c" * 28, "0199" + "d" * 28
KEY = SecretStr("the secret key of these tests, long enough")
START_MS = 1_795_000_000_000
OPTIONS = DatabaseOptions("imsg-callbacks", pool=5, busy_timeout_s=60, statement_timeout_s=60)
ERASURE = Digests((SecretStr("an erasure key of these tests, long enough"),))


class NoListeners:
    """Replaces `Listeners`: auth is not called."""

    async def synchronize(self, *, all_users: bool = False) -> None:
        """Do nothing."""


@dataclass
class Bench:
    """The parts of the callbacks service on one database, with a clock that the test sets."""

    database: Database
    redis: Redis
    now: int = START_MS
    woken: int = 0

    def __post_init__(self) -> None:
        """Make the parts."""
        clock: Callable[[], int] = lambda: self.now  # noqa: E731
        self.endpoints = Endpoints(self.database, Vault([KEY]), clock)
        self.deliveries = DeliveryLog(self.database, clock, write_disabled)
        listeners: Any = NoListeners()
        self.watermark = Watermark(clock)
        self.erasure = EventErasure(self.database, self.redis, ERASURE, self.watermark, clock)
        gauges = maintenance.MaintenanceMetrics(CollectorRegistry())
        self.maintenance = Maintenance(self.database, listeners, self.erasure, clock, lambda: None, gauges)
        self.reader = EventReader(self.database, Vault([KEY]), asyncio.Event())

    async def add(self, name: str, url: str = "https://example.com/", **columns: Any) -> Endpoint:  # noqa: ANN401
        """Add an endpoint."""
        endpoint = Endpoint(
            id=name,
            user_id=USER,
            username="zhang",
            is_admin=False,
            url=url,
            events=("message.sent", "callback.disabled"),
            methods=None,
            description="",
            secret=self.endpoints.seal("whsec_c2VjcmV0", name),
            old_secret=None,
            old_until=None,
            created_at=self.now,
        )
        endpoint = replace(endpoint, **columns)
        await self.endpoints.add(endpoint)
        return endpoint

    async def append(self, *events: LoggedEvent) -> None:
        """Append events."""
        async with self.database.writing() as connection:
            await append(connection, events, self.now)
        self.reader.wake()

    async def read(self, after: str | None = None, wait_s: float = 0, user: str = USER) -> tuple[list[str], str]:
        """Read on; return the events' ids and the next cursor."""
        page = await self.reader.read(user, after, wait_s, 100)
        return [json.loads(body)["id"] for body in page.bodies], page.next

    async def try_all(self, name: str, reply: EndpointReply, due_at: int | None = None) -> int:
        """Deliver everything due for an endpoint with one reply; return the number of deliveries."""
        leased = await self.deliveries.lease(name, 100, LEASE_MS)
        if leased:
            await self.deliveries.settle([Attempt(name, due.number, reply, self.now, due_at) for due in leased])
        return len(leased)


def event(name: str, user: str = USER, kind: str = "message.sent", **fields: Any) -> LoggedEvent:  # noqa: ANN401
    """Make an event."""
    data = fields.pop("data", {"to": "li@a.cn"})
    body = json.dumps({"id": name, "type": kind, "timestamp": "2026-11-25T00:00:00.000Z", "data": data})
    return LoggedEvent(name, kind, user, fields.pop("method", "smtp"), body, **fields)


@asynccontextmanager
async def open_bench(url: str, redis: Redis) -> AsyncIterator[Bench]:
    """Open callbacks on an empty database, which is migrated first."""
    await asyncio.to_thread(migrate, read_url(url), MIGRATIONS)
    async with connect(read_url(url), OPTIONS) as opened:
        yield Bench(opened, redis)
