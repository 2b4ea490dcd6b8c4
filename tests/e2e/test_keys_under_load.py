"""A key that is ended is refused a second later by every gateway, however many requests come, and after a flush too."""

import asyncio
import time
from typing import Any, NamedTuple

import httpx
import pytest
import redis

from imsg_testing.services import Services

CALLERS = 16
"""Programs that call at once, each the two gateways in turn: some hundred requests a second on two processors."""

IN_FORCE_S = 1.0
AFTER_S = 3.0
"""How long requests go on after the end of the key."""


class Tried(NamedTuple):
    """A request: when it began, and what it was answered."""

    began: float
    code: int


async def call_until(stopped: asyncio.Event, http: httpx.AsyncClient, urls: list[str], key: str) -> list[Tried]:
    """Send by a key, to one gateway after the other, until stopped."""
    tried: list[Tried] = []
    body: dict[str, Any] = {"to": "li@example.com", "method": "smtp", "content": {"subject": "s", "text": "t"}}
    while not stopped.is_set():
        began = time.monotonic()
        url = f"{urls[len(tried) % 2]}/api/v2/messages"
        answer = await http.post(url, json=body, headers={"authorization": f"Bearer {key}"})
        tried.append(Tried(began, answer.json()["errorCode"]))
    return tried


@pytest.mark.parametrize("is_flushed", [False, True], ids=["as it is", "just after Redis was flushed"])
async def test_no_request_is_accepted_a_second_after_the_end(services: Services, is_flushed: bool) -> None:  # noqa: FBT001  pytest's
    name = services.new_user(per_hour=1_000_000, per_day=1_000_000)
    fields = {"name": "flood", "kind": "live", "scopes": ["send:smtp"], "username": name}
    made = services.call("POST", "/api/v2/keys", {**fields, "token": services.token()})
    path, headers = f"/api/v2/keys/{made['id']}", {"authorization": f"Bearer {services.token()}"}
    urls, stopped = [gateway.url for gateway in services.gateways], asyncio.Event()
    limits = httpx.Limits(max_connections=CALLERS + 1)
    async with httpx.AsyncClient(timeout=60, limits=limits) as http, asyncio.TaskGroup() as group:
        callers = [group.create_task(call_until(stopped, http, urls, made["key"])) for _ in range(CALLERS)]
        await asyncio.sleep(1)
        if is_flushed:
            with redis.Redis.from_url(services.valkey.url, socket_timeout=30) as client:
                client.flushall()
        ended = await http.delete(urls[0] + path, headers=headers)
        at = time.monotonic()
        await asyncio.sleep(AFTER_S)
        stopped.set()
    tried = [one for caller in callers for one in caller.result()]

    assert ended.json()["errorCode"] == 0, ended.text
    assert sum(one.code == 0 for one in tried if one.began < at) > CALLERS
    late = [one.code for one in tried if one.began > at + IN_FORCE_S]
    assert len(late) > CALLERS
    assert set(late) == {10005}
