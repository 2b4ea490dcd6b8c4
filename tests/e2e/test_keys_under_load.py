"""A key that is ended is refused a second later by every gateway, however many requests come, and after a flush too."""

import asyncio
import itertools
import time
from typing import Any, NamedTuple

import httpx
import pytest
import redis

from imsg_testing.api import AWAY
from imsg_testing.brokers import is_so
from imsg_testing.services import Services

pytestmark = pytest.mark.long  # services of its own, under load

CALLERS = 16
"""Programs that call at once, each the two gateways in turn: some hundred requests a second on two processors."""

INVALID = 10005
"""What a key is answered that has ended."""

IN_FORCE_S = 1.0
"""How long after its end a key may still be taken."""


class Tried(NamedTuple):
    """A request: when it began, and what it was answered."""

    began: float
    code: int


async def call_on(tried: list[Tried], http: httpx.AsyncClient, urls: list[str], key: str) -> None:
    """Send by a key, to one gateway after the other, until cancelled."""
    body: dict[str, Any] = {"to": "li@example.com", "method": "smtp", "content": {"subject": "s", "text": "t"}}
    for url in itertools.cycle(urls):
        began = time.monotonic()
        answer = await http.post(f"{url}/api/v2/messages", json=body, headers={"authorization": f"Bearer {key}"})
        tried.append(Tried(began, answer.json()["errorCode"]))


def list_late(tried: list[Tried], ended: float) -> list[int]:
    """Return what is answered to requests that began when the end of the key had to be in force."""
    return [attempt.code for attempt in tried if attempt.began > ended + IN_FORCE_S]


@pytest.mark.parametrize("is_flushed", [False, True], ids=["as it is", "just after Redis was flushed"])
async def test_no_request_is_accepted_a_second_after_the_end(services: Services, is_flushed: bool) -> None:  # noqa: FBT001  pytest's
    name = services.new_user(per_hour=1_000_000, per_day=1_000_000)
    fields = {"name": "flood", "kind": "live", "scopes": ["send:smtp"], "username": name}
    made = services.call("POST", "/api/v2/keys", {**fields, "token": services.token()})
    path, headers = f"/api/v2/keys/{made['id']}", {"authorization": f"Bearer {services.token()}"}
    urls = [gateway.url for gateway in services.gateways]
    tried: list[Tried] = []
    limits = httpx.Limits(max_connections=CALLERS + 1)
    async with httpx.AsyncClient(timeout=60, limits=limits) as http, asyncio.TaskGroup() as group:
        callers = [group.create_task(call_on(tried, http, urls, made["key"])) for _ in range(CALLERS)]
        await is_so(lambda: sum(attempt.code == 0 for attempt in tried) > 2 * CALLERS)
        if is_flushed:
            with redis.Redis.from_url(services.valkey.url, socket_timeout=30) as client:
                client.flushall()
        ended = await http.delete(urls[0] + path, headers=headers)
        at = time.monotonic()
        await is_so(lambda: list_late(tried, at).count(INVALID) > 8 * CALLERS)
        for caller in callers:
            caller.cancel()

    assert ended.json()["errorCode"] == 0, ended.text
    assert set(list_late(tried, at)) <= {INVALID, AWAY}
