"""Every answer of the five documented URLs, byte for byte, as `v1_answers.json` has it."""

import json
import re
from pathlib import Path
from typing import Any

from imsg_testing.gateway import RunningGateway, run_gateway
from imsg_testing.v1_requests import RawRequest, list_requests

RECORDED = Path(__file__).with_name("v1_answers.json")

VARIES = re.compile(
    r"[0-9a-f]{32}|(?<=;)[rt]=[0-9]+|(?<=retry-after: )[0-9]+|\d{4}-\d\d-\d\dT[0-9:%A]+(\+|%2B)08(:|%3A)00"
)
"""Ids, times and numbers of a crash."""


async def make_tokens(gateway: RunningGateway) -> dict[str, str]:
    """Make the users of the requests; return their tokens by the names that the requests use."""
    user = await gateway.user("zhang", per_hour=10_000, per_day=10_000)
    return {
        "user": user,
        "admin": await gateway.user("root", role="admin", per_hour=10_000, per_day=10_000),
        "disabled": await gateway.user("off", available=False),
        "used": await gateway.user("used", per_hour=0),
        "old": gateway.token("zhang", epoch=7),
        "nobody": gateway.token("nobody"),
        "expired": gateway.token("zhang", lasts_s=-5),
        "wrapped": user[:40] + "\\r\\n" + user[40:],
    }


async def answer(gateway: RunningGateway, request: RawRequest, tokens: dict[str, str]) -> dict[str, Any]:
    """Return the answer to a request, and what of it reached another service."""
    filled = request.fill(tokens)
    gateway.auth.relayed.clear()
    gateway.history.relayed.clear()
    got = await gateway.client.request(filled.verb, filled.path, content=filled.body, headers=filled.headers)
    relayed = [
        [
            relayed_call.verb,
            relayed_call.path,
            relayed_call.query,
            relayed_call.body.decode(errors="replace"),
            relayed_call.headers.get("x-imsg-caller"),
        ]
        for relayed_call in (*gateway.auth.relayed, *gateway.history.relayed)
    ]
    told = {
        "status": got.status_code,
        "headers": [f"{key}: {value}" for key, value in got.headers.items() if key != "content-length"],
        "body": got.text,
        "relayed": relayed,
    }
    found: dict[str, Any] = json.loads(VARIES.sub("…", json.dumps(told, ensure_ascii=False)))
    return found


async def answer_all(store_url: str) -> dict[str, Any]:
    """Return the answers to all requests by their names."""
    async with run_gateway(store_url, is_v2=False, timezone="Asia/Shanghai") as gateway:
        await gateway.ready()
        tokens = await make_tokens(gateway)
        return {request.name: await answer(gateway, request, tokens) for request in list_requests()}


async def test_every_answer_is_as_recorded(store_url: str) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    answers = await answer_all(store_url)
    assert set(answers) == set(recorded)
    differing = {name: (recorded[name], got) for name, got in answers.items() if got != recorded[name]}
    assert not differing, json.dumps(differing, ensure_ascii=False, indent=1)
