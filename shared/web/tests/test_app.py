from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from pydantic import BaseModel, SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_runtime.settings import PeerKeys
from imsg_testing.callers import user
from imsg_web.app import make_internal_app
from imsg_web.authorization import Administrator, InternalRoute
from imsg_web.callers import KEY_HEADER, ROLE_HEADER, CallerCheck

KEY = "a key between services, long enough"
HEADERS = {KEY_HEADER: KEY, "content-type": "application/json", **user("admin", role="admin").headers()}

router = APIRouter(route_class=InternalRoute)


class Unavailable(Exception):  # noqa: N818  as those of the services
    """A dependency is down."""


class Body(BaseModel):
    """What POST /number takes."""

    number: int


@router.post("/number")
async def return_number(_: Administrator, body: Body) -> dict[str, int]:
    """Return the number of the body."""
    if body.number < 0:
        raise Unavailable
    return {"number": body.number}


@router.post("/nothing")
async def return_nothing(_: Administrator) -> dict[str, int]:
    """Return an empty answer; the route has no body."""
    return {}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the app."""
    app = make_internal_app("test", CallerCheck("catalog", (SecretStr(KEY),), PeerKeys()), [router], [Unavailable])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=HEADERS) as client:
        yield client


@pytest.mark.parametrize(
    ("call", "status", "reason"),
    [
        ({"url": "/number", "json": {"number": "x"}}, 400, "wrong_type"),
        ({"url": "/number", "json": {}}, 400, "missing"),
        ({"url": "/number", "content": b"{"}, 400, "not_json"),
        ({"url": "/number", "json": []}, 400, "not_an_object"),
        ({"url": "/number", "json": {"number": -1}}, 503, "unavailable"),
        ({"url": "/number", "json": {"number": 1}, "headers": {ROLE_HEADER: "user"}}, 403, "no_right"),
        ({"url": "/nothing", "content": b""}, 200, None),
        ({"url": "/nothing", "json": {}}, 200, None),
        ({"url": "/nothing", "json": {"number": 1}}, 400, "unknown_field"),
        ({"url": "/nothing", "json": ["number"]}, 400, "not_an_object"),
        ({"url": "/nothing", "json": 5}, 400, "not_an_object"),
        ({"url": "/nothing", "content": b"null"}, 400, "not_an_object"),
        ({"url": "/nothing", "content": b"{"}, 400, "not_json"),
        ({"url": "/nothing", "content": b'"\xff"'}, 400, "not_json"),
        ({"url": "/number/", "json": {"number": 1}}, 404, "no_such_url"),
        ({"url": "/number", "method": "PUT"}, 405, "no_such_method"),
    ],
)
async def test_every_error_is_answered_in_the_public_shape(
    client: httpx.AsyncClient, call: dict[str, Any], status: int, reason: str | None
) -> None:
    answer = await client.request(**{"method": "POST"} | call)

    assert (answer.status_code, answer.json().get("reason")) == (status, reason)


async def test_a_body_of_any_content_type_is_read(client: httpx.AsyncClient) -> None:
    assert (await client.post("/number", content=b'{"number": 7}')).json() == {"number": 7}


async def test_a_refusal_while_the_body_is_read_keeps_its_reason() -> None:
    """FastAPI turns whatever is raised there into a 400 of its own."""
    app = make_internal_app("test", CallerCheck("catalog", (SecretStr(KEY),), PeerKeys()), [router], [])

    async def bounded(scope: Scope, _: Receive, send: Send) -> None:
        async def receive() -> Message:
            raise Refusal("too_large", limit="1 MiB")

        await app(scope, receive, send)

    answer = await post(bounded, HEADERS)

    assert answer.json()["reason"] == "too_large"


async def test_the_service_key_is_checked_before_the_body_is_read() -> None:
    app = make_internal_app("test", CallerCheck("catalog", (SecretStr(KEY),), PeerKeys()), [router], [])

    async def unreadable(scope: Scope, _: Receive, send: Send) -> None:
        async def receive() -> Message:
            raise AssertionError("the body was read")

        await app(scope, receive, send)

    answer = await post(unreadable, {})

    assert (answer.status_code, answer.json()["reason"]) == (403, "no_right")


async def post(app: ASGIApp, headers: dict[str, str]) -> httpx.Response:
    """Post a number to an app."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        return await client.post("/number", json={"number": 1}, headers=headers)
