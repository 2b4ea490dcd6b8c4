"""Requests at their documented maximum do not hold the loop: a turn of it takes 50 ms of processor time at most."""

import json
from typing import Any

import pytest
from starlette.responses import JSONResponse

from imsg_testing.gateway import ME, RunningGateway, User
from imsg_testing.loop_turns import MAX_TURN_S, measured_turns

COUNT = 10_000
"""The recipients of one request (`IMSG_MAX_RECIPIENTS`)."""

ABROAD = [f"+1212555{n:04d}" for n in range(COUNT)]
"""Numbers of a calling code that several countries share: each is looked up."""

LISTS: dict[str, dict[str, Any]] = {
    "mail": {
        "method": "smtp",
        "to": [f"member{n}@example.com" for n in range(COUNT)],
        "content": {"subject": "开会通知", "text": "下午两点半"},
    },
    "sms": {"method": "sms", "to": [f"138{n:08d}" for n in range(COUNT)], "content": "明天下雨"},
    "sms abroad": {"method": "sms", "to": ABROAD, "content": "It rains tomorrow"},
    "usernames": {"method": "smtp", "to": [f"会员{n}" for n in range(COUNT)], "content": {"subject": "a", "text": "b"}},
}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("path", ["/api/send", "/api/v2/messages", "/api/v2/messages/check"])
async def test_a_list_of_the_maximum_length_does_not_hold_the_loop(
    gateway: RunningGateway, name: str, path: str
) -> None:
    gateway.auth.answer = JSONResponse({**ME, "sms_countries": ["CN"]})
    token = await gateway.user(sms_countries="CN" if path.endswith("check") else "*")
    gateway.auth.users |= {f"会员{n}": User(contacts={"smtp": f"member{n}@example.com"}) for n in range(COUNT)}
    body = json.dumps({**LISTS[name], "token": token})
    async with measured_turns() as turns:
        answer = (await gateway.client.post(path, content=body)).json()
    assert answer["errorCode"] == 0, answer
    assert turns.longest_s <= MAX_TURN_S
