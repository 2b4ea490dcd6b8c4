"""What a message is for, which lane it takes, and how much one user may send at once before it takes the one below."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from imsg_contract.topology import Lane, counts_key, user_key
from imsg_contract.wire import Category
from imsg_limits.quota import MAX_BURST
from imsg_testing.callers import id_of
from imsg_testing.gateway import ME, RunningGateway, mail

MANY: dict[str, Any] = {"per_hour": 10_000, "per_day": 10_000}


async def post(gateway: RunningGateway, path: str = "/api/v2/messages", **fields: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    """Send by v2: a sound mail but for the fields given."""
    return await gateway.client.post(path, json=mail(**fields))


async def crowd(gateway: RunningGateway, kind: str) -> None:
    """Count, of a user who has sent one, as many as may be sent at once: to send them may take longer than ten seconds.

    `kind` is `s` for single messages, `c` for codes, as the script that charges counts them. They were sent in a second
    to come, so that they are not past however long the next request takes.
    """
    second = int((await gateway.redis.call("TIME"))[0]) + 600
    await gateway.redis.call("HSET", counts_key("zhang"), kind, f"{second} {MAX_BURST}{' 0' * 9} t{MAX_BURST}")


async def depths(gateway: RunningGateway) -> dict[Lane, int]:
    """Count what waits in each lane."""
    topology = gateway.broker.topology
    return {lane: await gateway.broker.depth(topology.queue("smtp", lane)) for lane in Lane}


async def test_a_code_takes_the_lane_of_codes_and_is_tried_for_ten_minutes(gateway: RunningGateway) -> None:
    token = await gateway.user(may_send_codes="1")
    assert (await post(gateway, token=token, category="code")).status_code == 202
    (job,) = await gateway.jobs(lane=Lane.PRIORITY)
    assert (job.lane, job.category) == (Lane.PRIORITY, Category.CODE)
    assert job.expires_at - job.accepted_at == timedelta(minutes=10)
    await post(gateway, token=token, category="code", expires_in=60, to=["li@example.com", "Li@example.com"])
    (job,) = await gateway.jobs(lane=Lane.PRIORITY)
    assert job.expires_at - job.accepted_at == timedelta(seconds=60)


@pytest.mark.parametrize("category", ["notice", "marketing", None])
async def test_the_others_go_as_they_did(gateway: RunningGateway, category: str | None) -> None:
    token = await gateway.user()
    await post(gateway, token=token, category=category)
    await post(gateway, token=token, category=category, to=["a@example.com", "b@example.com"])
    for lane in (Lane.NORMAL, Lane.BULK):
        (job,) = await gateway.jobs(lane=lane)
        assert (job.lane, job.category) == (lane, category or "notice")
        assert job.expires_at - job.accepted_at == timedelta(hours=24)


async def test_a_code_is_for_who_may_send_codes(gateway: RunningGateway) -> None:
    """In force for the very next send; and nothing is counted."""
    token = await gateway.user(may_send_codes="0", per_hour=1)
    refused = await post(gateway, token=token, category="code")
    assert (refused.status_code, refused.json()["errorCode"]) == (403, 10016)
    assert refused.json()["reason"] == "may_not_send_codes"
    assert "may_send_codes" in refused.json()["detail"]
    await gateway.redis.call("HSET", user_key("zhang"), "may_send_codes", "1")
    assert (await post(gateway, token=token, category="code")).status_code == 202


async def test_a_code_has_one_recipient(gateway: RunningGateway) -> None:
    token = await gateway.user(may_send_codes="1")
    for path in ("/api/v2/messages", "/api/v2/messages/check"):
        refused = await post(gateway, path, token=token, category="code", to=["a@example.com", "b@example.com"])
        assert (refused.status_code, refused.json()["reason"]) == (400, "recipients_invalid"), path
        assert "category" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("category", {"category": "urgent"}),
        ("category", {"category": ""}),
        ("category", {"category": 1}),
        ("category", {"category": ["code"]}),
        ("expires_in", {"category": "code", "expires_in": 601}),
        ("expires_in", {"category": "code", "expires_in": 29}),
    ],
)
async def test_10017_names_the_field(gateway: RunningGateway, field: str, fields: dict[str, Any]) -> None:
    token = await gateway.user(may_send_codes="1")
    for path in ("/api/v2/messages", "/api/v2/messages/check"):
        refused = await post(gateway, path, token=token, **fields)
        assert (refused.status_code, refused.json()["errorCode"]) == (400, 10017)
        assert refused.json()["detail"].startswith(f"参数 {field} ")


async def test_v1_knows_no_categories(gateway: RunningGateway) -> None:
    token = await gateway.user(may_send_codes="0")
    answer = await gateway.client.post("/api/send", json=mail(token=token, category="code"))
    assert answer.json()["errorCode"] == 0
    assert answer.headers["x-imsg-ignored"] == "category"
    (job,) = await gateway.jobs()
    assert job.category is Category.NOTICE


async def test_a_check_reports_whether_codes_may_be_sent(gateway: RunningGateway) -> None:
    token = await gateway.user(may_send_codes="0")
    gateway.auth.answer = JSONResponse({**ME, "may_send_codes": False})
    refused = await post(gateway, "/api/v2/messages/check", token=token, category="code")
    assert (refused.status_code, refused.json()["reason"]) == (403, "may_not_send_codes")
    gateway.auth.answer = JSONResponse({**ME, "may_send_codes": True})
    assert (await post(gateway, "/api/v2/messages/check", token=token, category="code")).status_code == 200


async def test_who_sends_too_many_single_messages_at_once_goes_with_the_lists(gateway: RunningGateway) -> None:
    """Until there were fewer within ten seconds; others, and the same user's codes, go as ever."""
    token, other = await gateway.user(may_send_codes="1", **MANY), await gateway.user("wang", **MANY)
    await post(gateway, token=token)
    assert (await depths(gateway))[Lane.BULK] == 0
    for _ in range(3):
        await crowd(gateway, "s")
        await post(gateway, token=token)
    await crowd(gateway, "s")
    await gateway.client.post("/api/send", json=mail(token=token))
    await post(gateway, token=other)
    await post(gateway, token=token, category="code")
    assert await depths(gateway) == {Lane.PRIORITY: 1, Lane.NORMAL: 2, Lane.BULK: 4, Lane.TEST: 0}
    (job,) = await gateway.jobs(lane=Lane.BULK)
    assert (job.lane, len(job.recipients)) == (Lane.BULK, 1)


async def test_codes_past_what_one_user_may_send_at_once_go_with_the_single_messages(gateway: RunningGateway) -> None:
    token = await gateway.user(may_send_codes="1", **MANY)
    await post(gateway, token=token, category="code")
    for _ in range(5):
        await crowd(gateway, "c")
        await post(gateway, token=token, category="code")
    assert await depths(gateway) == {Lane.PRIORITY: 1, Lane.NORMAL: 5, Lane.BULK: 0, Lane.TEST: 0}
    (job,) = await gateway.jobs()
    assert (job.category, job.lane) == (Category.CODE, Lane.NORMAL)
    assert job.expires_at - job.accepted_at == timedelta(minutes=10)


async def test_a_resent_code_is_still_a_code_and_overtakes_no_other(gateway: RunningGateway) -> None:
    token = await gateway.user(may_send_codes="0")
    old = {
        "errorCode": 0, "request": "0" * 32, "username": "zhang", "user_id": id_of("zhang"),
        "method": "smtp", "account": None, "test": False,
        "content": {"subject": "登录验证码", "text": "482913"}, "content_at": None, "attachments": [],
        "reference": None, "category": "code",
        "recipients": [{"n": 0, "to": "li@example.com", "address": "li@example.com"}],
    }  # fmt: skip
    gateway.history.resend = JSONResponse(old)
    answer = await gateway.client.post("/api/v2/resend", json={"token": token, "id": "0" * 32, "again": True})
    assert answer.status_code == 202, answer.json()
    (job,) = await gateway.jobs()
    assert (job.category, job.expires_at - job.accepted_at) == (Category.CODE, timedelta(minutes=10))
