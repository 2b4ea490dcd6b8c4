"""Every change reaches the audit, also while the broker is away, and contains no secret."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imsg_broker.connect import open_broker
from imsg_contract.wire import Change
from imsg_runtime.redis import Redis, connect
from imsg_testing.auth import Visitor, running, settings
from imsg_testing.servers import Valkey
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Audit:
    """The changes published to history."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def lines(self) -> list[tuple[str, str, str]]:
        """Return the actor, the action and the target of each change."""
        changes = [Change.model_validate_json(body) for body in self.bodies]
        return [(change.actor, change.action, change.target) for change in changes]

    async def has(self, count: int) -> bool:
        """Return whether so many changes were received."""
        return len(self.bodies) >= count


@asynccontextmanager
async def listening(url: str, count: int) -> AsyncIterator[Audit]:
    """Consume changes, without log-ins, until `count` have come and the block ends."""
    audit = Audit()
    async with open_broker(url) as broker, broker.consume(broker.topology.history, 100) as deliveries:
        yield audit
        async for delivery in deliveries:
            if delivery.key == "change" and Change.model_validate_json(delivery.body).action != "login":
                audit.bodies.append(delivery.body)
            await broker.ack(delivery)
            if len(audit.bodies) == count:
                return


async def test_every_change_is_published_once_and_in_order(visitor: Visitor, admin: Visitor, url: str) -> None:
    """Without passwords, tokens or whole addresses."""
    async with listening(url, 8) as audit:
        await admin.post("/api/register", username="甲", password="secret-horse-1", email="jia@example.com")
        await admin.post("/api/modify/甲", per_day=7, per_hour=3)
        await admin.patch("/api/users/甲", password="secret-horse-2", phone="13800138000", role="admin")
        await admin.patch("/api/users/甲", per_day=2_000_000)
        user = await visitor.log_in("甲", "secret-horse-2")
        user.token = (await user.post("/api/password", old="secret-horse-2", new="secret-horse-3")).json()["token"]
        await user.post("/api/logout")
        await user.post("/api/logout", everywhere=True)
        await admin.delete("/api/users/甲")
        await admin.delete("/api/users/甲")
        await admin.patch("/api/users/admin", available=True)
    assert audit.lines() == [
        ("admin", "register", "甲"),
        ("admin", "modify", "甲"),
        ("admin", "update", "甲"),
        ("甲", "password", "甲"),
        ("甲", "logout", "甲"),
        ("甲", "logout_everywhere", "甲"),
        ("admin", "delete", "甲"),
        ("admin", "update", "admin"),
    ]
    modified, updated = (Change.model_validate_json(audit.bodies[n]) for n in (1, 2))
    assert (modified.before, modified.after) == ({"per_day": 20, "per_hour": 5}, {"per_day": 7, "per_hour": 3})
    assert updated.before == {"role": "user", "phone": None}
    assert updated.after is not None
    phone = updated.after.pop("phone")
    assert updated.after == {"role": "admin", "password": "changed"}
    assert (phone["masked"], len(phone["digest"])) == ("+86***00", 32)
    assert updated.address == admin.address
    for secret in ("secret-", "jia@", "8001380", user.token):
        assert not any(secret.encode() in body for body in audit.bodies)


async def test_a_broker_that_is_away_delays_the_audit_and_nothing_else(url: str, redis: Redis, tmp_path: Path) -> None:
    """The record lies in the outbox until the broker is back."""
    del redis
    with Valkey() as own:
        async with running(settings(own.url, tmp_path, redis_url=url)) as visitor:
            admin = await visitor.log_in("admin", "123")
            own.kill()
            assert (await admin.post("/api/register", username="乙", password="battery staple")).status_code == 200
            own.start()
            async with connect(own.url) as broker, listening(own.url, 1) as audit:
                await eventually(lambda: broker.call("EXISTS", "imsg.history"), within_s=60)
        assert audit.lines() == [("admin", "register", "乙")]
