"""The group robot's webhook refuses what the real one refuses."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from imsg_sandbox.faults import Faults
from imsg_sandbox.inbox import Inbox
from imsg_sandbox.wecom import PATH, PER_MINUTE, Robot, Webhook, routes

KEY = "693a91f6"


class Clock:
    """A clock that the test sets."""

    at = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.at


@pytest.fixture
def inbox() -> Inbox:
    """Make an inbox."""
    return Inbox(1024 * 1024, {})


@pytest.fixture
def clock() -> Clock:
    """Make a clock."""
    return Clock()


@pytest.fixture
def client(inbox: Inbox, clock: Clock) -> httpx.AsyncClient:
    """Make a client of the webhook."""
    api = FastAPI()
    api.include_router(routes(Webhook({"ops": Robot(key=SecretStr(KEY))}, inbox, Faults(), clock)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://sandbox")


async def code(client: httpx.AsyncClient, body: Any, key: str = KEY) -> int:  # noqa: ANN401  any JSON
    """Call the webhook; return the errcode."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer: int = (await client.post(PATH, params={"key": key}, content=content)).json()["errcode"]
    return answer


def text(content: str) -> dict[str, Any]:
    """Write a text's body."""
    return {"msgtype": "text", "text": {"content": content}}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (text("您好"), 0),
        ({"msgtype": "markdown", "markdown": {"content": "a" * 4_096}}, 0),
        ({"msgtype": "markdown", "markdown": {"content": "a" * 4_097}}, 45002),
        (text("汉" * 683), 45002),
        (text(" "), 44004),
        ({"msgtype": "text", "text": {}}, 40058),
        ({"msgtype": "image", "image": {}}, 40008),
        ({"msgtype": "text", "text": "x"}, 40008),
        (b"{", 40008),
        (b"[]", 40008),
    ],
)
async def test_a_message_is_judged_by_its_form(client: httpx.AsyncClient, inbox: Inbox, body: Any, wanted: int) -> None:  # noqa: ANN401
    assert await code(client, body) == wanted
    assert len(inbox.find("wecom", "ops")) == (wanted == 0)


async def test_a_wrong_key_belongs_to_no_robot(client: httpx.AsyncClient, inbox: Inbox) -> None:
    assert await code(client, text("x"), key="other") == 93000
    assert inbox.find() == []


async def test_more_than_twenty_a_minute_are_refused(client: httpx.AsyncClient, clock: Clock) -> None:
    assert [await code(client, text("x")) for _ in range(PER_MINUTE)] == [0] * PER_MINUTE
    assert await code(client, text("x")) == 45009
    clock.at = 60.0
    assert await code(client, text("x")) == 0
