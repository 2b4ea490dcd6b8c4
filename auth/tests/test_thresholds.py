"""Events of quotas at 80 and 100 percent: to the quota's owners, each once."""

from collections.abc import Sequence

import pytest

from imsg_broker.connect import open_broker
from imsg_contract.topology import EVENT, THRESHOLDS
from imsg_contract.wire import Event, Events
from imsg_limits.quota import Charged, Exhausted
from imsg_runtime.redis import Redis
from imsg_testing.auth import Visitor
from imsg_testing.auth_users import at, charge
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def consume_events(url: str, count: int) -> Sequence[Event]:
    """Consume `count` events, as callbacks does."""
    events: list[Event] = []
    async with open_broker(url) as broker, broker.consume(broker.topology.callbacks, 100) as deliveries:
        async for delivery in deliveries:
            if delivery.key == EVENT:
                events += Events.model_validate_json(delivery.body).events
            await broker.ack(delivery)
            if len(events) >= count:
                break
    return events


async def test_a_quota_notifies_its_user_at_80_and_100_percent_and_administrators_of_a_shared_one(
    admin: Visitor, user: Visitor, redis: Redis, url: str
) -> None:
    own = {"id": "mine", "counts": "recipients", "per": "day", "limit": 10}
    shared = {"id": "ours", "counts": "recipients", "per": "month", "limit": 12}
    path = f"{at(user.called)}/quotas"
    await admin.put(path, {"if-match": "*"}, quotas=[own])
    await admin.put("/api/quotas", {"if-match": "*"}, quotas=[shared])
    try:
        for recipients in (7, 1, 1, 1):
            assert isinstance(await charge(redis, user.called, recipients), Charged)
        assert isinstance(await charge(redis, user.called), Exhausted)
        events = await consume_events(url, 3)
    finally:
        await admin.put("/api/quotas", {"if-match": "*"}, quotas=[])
    assert {event.type for event in events} == {"quota.threshold"}
    told = [(event.username, event.data["quota"], event.data["percent"], event.data["limit"]) for event in events]
    assert told == [(user.called, "mine", 80, 10), (user.called, "mine", 100, 10), ("admin", "ours", 80, 12)]
    assert events[0].user_id == (await user.get("/api/me")).json()["id"]
    assert len({event.id for event in events}) == 3

    async def are_removed() -> bool:
        return int(await redis.call("LLEN", THRESHOLDS)) == 0

    await eventually(are_removed)
