"""Windows at the gateway: what comes outside of them is accepted, and held at scheduler's."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import JSONResponse

from imsg_contract.send_times import write_time
from imsg_contract.topology import SCHEDULE, WINDOWS, Lane
from imsg_contract.wire import Job
from imsg_limits.windows import DAYS, Calendar
from imsg_testing.gateway import RunningGateway
from imsg_testing.waiting import eventually

ME: dict[str, Any] = {"role": "user", "available": True, "sms_countries": ["CN"], "quotas": []}
MAIL: dict[str, Any] = {"to": "li@example.com", "method": "smtp", "content": {"subject": "later", "text": "您好"}}


async def close(gateway: RunningGateway) -> datetime:
    """Publish a window of notices by mail that opens in two hours; return when it does."""
    opens_at = (datetime.now(UTC) + timedelta(hours=2)).replace(second=0, microsecond=0)
    window = {
        "id": "night", "methods": ["smtp"], "categories": ["notice"], "zone": "UTC", "days": DAYS, "holidays": "none",
        "from": opens_at.time(), "to": (opens_at + timedelta(hours=1)).time(),
    }  # fmt: skip
    calendar = Calendar.model_validate({"windows": [window]})
    await gateway.redis.call("SET", WINDOWS, calendar.model_dump_json(by_alias=True))
    token = await gateway.user("a watcher")
    gateway.auth.answer = JSONResponse(ME)

    async def is_read() -> bool:
        checked = await gateway.client.post("/api/v2/messages/check", json={"token": token, **MAIL})
        return bool(checked.json()["held_by"] == "night")

    await eventually(is_read, 60)
    return opens_at


async def test_what_comes_while_its_window_is_closed_is_held_and_codes_are_not(gateway: RunningGateway) -> None:
    token = await gateway.user(may_send_codes="1")
    opens_at = await close(gateway)
    told = {"held_until": write_time(opens_at), "held_by": "night"}
    broker = gateway.broker
    async with broker.consume(broker.topology.schedule, 10) as deliveries:
        answer = (await gateway.client.post("/api/v2/messages", json={"token": token, **MAIL})).json()
        assert {name: answer.get(name) for name in told} == told
        async with asyncio.timeout(60):
            (delivery,) = await deliveries.receive_batch(1)
        job = Job.model_validate_json(delivery.body)
        assert (job.request, job.held_until, job.held_by, job.due_at) == (answer["id"], opens_at, "night", None)
        assert job.expires_at - opens_at > timedelta(hours=1)
        await broker.ack(delivery)
    code = await gateway.client.post("/api/v2/messages", json={"token": token, **MAIL, "category": "code"})
    assert "held_until" not in code.json()
    assert (await gateway.jobs(lane=Lane.PRIORITY))[0].category == "code"


async def test_the_answer_shows_a_closed_window_and_the_window_is_checked_again_when_due(
    gateway: RunningGateway,
) -> None:
    token = await gateway.user()
    opens_at = await close(gateway)
    due_at = opens_at - timedelta(hours=1)
    broker = gateway.broker
    async with broker.consume(broker.topology.schedule, 10) as deliveries:
        body = {"token": token, **MAIL, "send_at": due_at.isoformat()}
        answer = (await gateway.client.post("/api/v2/messages", json=body)).json()
        assert (answer["due_at"], answer["held_until"]) == (write_time(due_at), write_time(opens_at))
        async with asyncio.timeout(60):
            (delivery,) = await deliveries.receive_batch(1)
        job = Job.model_validate_json(delivery.body)
        assert (job.due_at, job.held_until) == (due_at, None)
        await broker.ack(delivery)


async def test_v1_is_held_too_and_its_answer_gains_nothing(gateway: RunningGateway) -> None:
    token = await gateway.user()
    await close(gateway)
    answer = await gateway.client.post("/api/send", json={"token": token, **MAIL})
    assert answer.json() == {"errorCode": 0, "errorMessage": "OK"}
    assert await gateway.broker.depth(gateway.broker.topology.schedule) == 1
    assert SCHEDULE not in str(dict(answer.headers))
