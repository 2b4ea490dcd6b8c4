"""The edge of `imsg up`: only what is public is reachable."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from imsg.router import Router
from imsg_contract.errors import Refusal
from imsg_runtime.settings import Common
from imsg_web.hosts import HostCheck, Hosts
from imsg_web.responses import ApiResponse, ok
from imsg_web.service import Service


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    await ApiResponse(ok(path=scope["path"]))(scope, receive, send)


@asynccontextmanager
async def _opening(_: Service) -> AsyncIterator[ASGIApp]:
    yield _echo


def _service() -> Service:
    return Service("gateway", Common(), _opening)


@pytest.mark.parametrize("path", ["/api", "/api/send", "/api/send/", "/docs", "/sandbox/inbox", "/health/live"])
async def test_public_paths_reach_their_service(path: str) -> None:
    service = _service()
    table = [(prefix, service) for prefix in ("/api", "/docs", "/sandbox", "/health/live")]
    async with service.running(), _client(Router(table, [service])) as client:
        answer = await client.get(path)

    assert answer.json()["errorCode"] == 0


@pytest.mark.parametrize(
    "path", ["/", "/apis", "/internal/user-cache", "/metrics", "/health", "/hooks/smtp", "/sandboxes"]
)
async def test_everything_else_is_a_404_in_the_public_shape(path: str) -> None:
    service = _service()
    async with service.running(), _client(Router([("/api", service)], [service])) as client:
        answer = await client.get(path)

    assert (answer.status_code, answer.json()["errorCode"], answer.json()["reason"]) == (404, 10001, "no_such_url")


@pytest.mark.parametrize("path", ["/", "/users", "/nowhere", "/_nicegui/static/x.js", "/sandbox-of-mine"])
async def test_every_other_path_is_the_pages(path: str) -> None:
    service, page = _service(), Service("console", Common(), _opening)
    router = Router([("/api", service)], [service, page], page=page)
    async with service.running(), page.running(), _client(router) as client:
        answer = await client.get(path)

    assert answer.json() == {"errorCode": 0, "errorMessage": "OK", "path": path}


@pytest.mark.parametrize(
    "path", ["/metrics", "/health", "/health/else", "/internal/user-cache", "/hooks/smtp", "/sandbox/inbox"]
)
async def test_the_page_opens_nothing_that_is_closed(path: str) -> None:
    """The page's service has health and metrics of its own, which are for the internal network."""
    service, page = _service(), Service("console", Common(), _opening)
    router = Router([("/api", service)], [service, page], page=page)
    async with service.running(), page.running(), _client(router) as client:
        answer = await client.get(path)

    assert (answer.status_code, answer.json()["reason"]) == (404, "no_such_url")


async def test_readiness_is_that_of_the_whole() -> None:
    first, second = _service(), Service("history", Common(), _opening)
    second.check("broker", lambda: False)
    async with first.running(), second.running(), _client(Router([], [first, second])) as client:
        answer = await client.get("/health/ready")

    assert (answer.status_code, answer.json()["unmet"]) == (503, {"history": ["broker"]})


def _client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_a_strangers_name_is_refused_in_the_form_of_the_path() -> None:
    """The interface document's clients throw on a 421 as on any other."""

    def refuse(refusal: Refusal, accept_language: str, path: str) -> Response:
        del accept_language
        return PlainTextResponse(f"{refusal.reason} at {path}")

    service = Service("gateway", Common(), _opening, refuse)
    router = Router([("/api", service)], [service])
    transport = httpx.ASGITransport(HostCheck(router, Hosts(Common()), router.refuse))
    async with service.running(), httpx.AsyncClient(transport=transport, base_url="http://evil.example") as client:
        assert (await client.post("/api/send")).text == "wrong_host at /api/send"
        assert (await client.post("/elsewhere")).status_code == 421
