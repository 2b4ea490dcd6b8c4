"""A service whose PostgreSQL is full, read-only or closed to it is not ready."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

import imsg_auth.main
import imsg_callbacks.main
import imsg_catalog.main
import imsg_history.main
from imsg_broker.connect import open_broker
from imsg_broker.port import Broker
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.topology import EVENT
from imsg_contract.wire import Event, Events
from imsg_testing.callers import user
from imsg_testing.history import job, make_delivery
from imsg_testing.servers import Postgres
from imsg_testing.waiting import eventually
from imsg_web.service import Service
from imsg_web.service_client import connect

pytestmark = pytest.mark.long  # each waits for the probes of a service

KEY = (SecretStr("a key between services, long enough"),)
USER = "0199" + "a" * 28
WITHIN_S = 60.0

REFUSALS = {
    "disk_full": "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'",
    "read_only": "RAISE EXCEPTION 'cannot execute INSERT in a read-only transaction' USING ERRCODE = '25006'",
    "no_right": "RAISE EXCEPTION 'permission denied for table' USING ERRCODE = '42501'",
}
"""As PostgreSQL says each, by its own code."""

TABLES = {"auth": "users", "history": "jobs", "catalog": "suppressions", "callbacks": "log"}


@dataclass
class Place:
    """One service on PostgreSQL, and what makes it write."""

    name: str
    service: Service
    broker: Broker
    database_url: str

    async def write(self) -> None:
        """Cause a write of the service."""
        now, topology = datetime.now(UTC), self.broker.topology
        if self.name == "auth":
            async with connect("http://auth", KEY, {"auth": self.service}) as peer:
                fields = {"username": f"u{now.timestamp()}", "password": "battery staple"}
                await peer.call("POST", "/api/register", caller=user("admin", role="admin"), json=fields)
        elif self.name == "history":
            delivery = make_delivery(job(at=now))
            await self.broker.publish(delivery.body, topology.new(delivery.key))
        elif self.name == "catalog":
            told = Suppression(method="smtp", address=f"{now.timestamp()}@a.cn", reason=Reason.HARD_BOUNCE, at=now)
            await self.broker.publish(told.encode(), topology.suppressions)
        else:
            name = f"evt_{now.timestamp()}".replace(".", "-")
            event = Event(id=name, type="message.sent", at=now, username="u", user_id=USER, data={"to": "a"})
            await self.broker.publish(Events(events=(event,)).encode(), topology.new(EVENT))

    async def prepare(self) -> None:
        """Add a trigger that calls our function before each write to the service's table."""
        await self.accept()
        trigger = f"CREATE TRIGGER answer BEFORE INSERT ON {TABLES[self.name]} FOR EACH ROW EXECUTE FUNCTION answer()"
        await self._execute(trigger)

    async def refuse(self, how: str) -> None:
        """Refuse writes to the table."""
        await self._answer(REFUSALS[how])

    async def accept(self) -> None:
        """Accept writes to the table."""
        await self._answer("RETURN NEW")

    async def _answer(self, answer: str) -> None:
        body = f"AS $$ BEGIN {answer}; END $$"
        await self._execute(f"CREATE OR REPLACE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql {body}")

    async def _execute(self, *statements: str) -> None:
        """Execute them off the loop: they wait for the service's own transactions."""

        def execute() -> None:
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement)

        await asyncio.to_thread(execute)

    async def has(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until something holds."""
        await eventually(condition, WITHIN_S)


@pytest.fixture(params=sorted(TABLES))
async def place(
    request: pytest.FixtureRequest, postgres: Postgres, redis_url: str, tmp_path: Path
) -> AsyncIterator[Place]:
    """Run each service in turn."""
    name = request.param
    url = postgres.create_database(f"refused_{name}_{tmp_path.name[-24:]}".lower().replace("-", "_"))
    settings: dict[str, Any] = {
        "broker_url": redis_url,
        "redis_url": redis_url,
        "service_key": KEY,
        "database_url": url,
        "erasure_key": KEY,
    }
    service = {
        "auth": lambda: imsg_auth.main.app(imsg_auth.main.Settings(**settings, token_key=KEY, data_dir=tmp_path)),
        "history": lambda: imsg_history.main.app(imsg_history.main.Settings(**settings)),
        "catalog": lambda: imsg_catalog.main.app(imsg_catalog.main.Settings(**settings)),
        "callbacks": lambda: imsg_callbacks.main.app(imsg_callbacks.main.Settings(**settings, secret_key=KEY)),
    }[name]()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(service.running())
        broker = await stack.enter_async_context(open_broker(redis_url))

        async def is_ready() -> bool:
            return broker.ready and service.unmet() == []

        await eventually(is_ready, WITHIN_S)
        place = Place(name, service, broker, url)
        await place.prepare()
        yield place


@pytest.mark.parametrize("place", ["history"], indirect=True)
async def test_lists_report_up_to_when_they_are_complete(place: Place) -> None:
    async def read(path: str = "messages") -> tuple[int, str]:
        async with connect("http://history", KEY, {"history": place.service}) as peer:
            answer = (await peer.call("GET", f"/api/{path}", caller=user("admin", role="admin"))).json()
        return len(answer.get("messages", ())), answer["as_of"]

    async def is_complete() -> bool:
        count, as_of = await read()
        return count == 2 and as_of > written

    async def is_not_ready() -> bool:
        return place.service.unmet() == ["database"]

    await place.write()
    await place.refuse("disk_full")
    written = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    await place.write()
    await place.has(is_not_ready)
    later = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for path in ("messages", "requests", "stats"):
        _, as_of = await read(path)
        assert as_of < later, "what was sent since then is not in this list"

    await place.accept()
    await place.has(is_complete)


@pytest.mark.parametrize(
    ("place", "how"),
    [
        ("auth", "no_right"),
        ("history", "disk_full"),
        ("history", "read_only"),
        ("catalog", "read_only"),
        ("callbacks", "disk_full"),
    ],
    indirect=["place"],
)
async def test_a_service_whose_writes_are_refused_is_not_ready_until_they_go_through(place: Place, how: str) -> None:
    async def is_ready() -> bool:
        return place.service.unmet() == []

    async def is_not_ready() -> bool:
        return place.service.unmet() == ["database"]

    await place.write()
    await place.has(is_ready)

    await place.refuse(how)
    await place.write()
    await place.has(is_not_ready)
    await place.accept()
    await place.has(is_ready)
