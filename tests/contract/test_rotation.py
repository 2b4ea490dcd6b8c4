"""The keys of services and tokens are changed while replicas are replaced: no request is refused."""

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import imsg_auth.main
import imsg_gateway.main
import imsg_history.main
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.waiting import eventually
from imsg_web.service import Service

OLD, NEW = SecretStr("the key of last year"), SecretStr("the key of this year")

Keys = tuple[SecretStr, ...]

STAGES: Sequence[Keys] = ((OLD,), (OLD, NEW), (NEW, OLD), (NEW,))
"""As docs/operations.md has it: the new one behind the old, before it, alone. Each stage is a roll of every service."""

WITHIN_S = 60.0


@pytest.fixture
async def store_url(valkey_url: str) -> str:
    """Choose a database of Valkey and empty it."""
    url = valkey_url.removesuffix("/0") + "/9"
    async with connect_redis(url) as redis:
        await redis.call("FLUSHDB")
    return url


@asynccontextmanager
async def gateway(store_url: str, folder: Path, callers: Keys, owners: Keys) -> AsyncIterator[httpx.AsyncClient]:
    """Run a gateway with some keys before an auth and a history with others."""
    common: dict[str, Any] = {"broker_url": store_url, "redis_url": store_url}
    theirs = {**common, "service_key": owners}
    url = f"sqlite:///{folder}/history.db"
    apps: dict[str, Service] = {
        "auth": imsg_auth.main.app(imsg_auth.main.Settings(**theirs, token_key=owners, data_dir=folder)),
        "history": imsg_history.main.app(imsg_history.main.Settings(**theirs, database_url=url)),
    }
    ours = imsg_gateway.main.Settings(**common, service_key=callers, token_key=callers)
    made = imsg_gateway.main.app(ours, apps)
    async with AsyncExitStack() as stack:
        for service in (*apps.values(), made):
            await stack.enter_async_context(service.running())

        async def are_ready() -> bool:
            return not any(service.unmet() for service in (*apps.values(), made))

        await eventually(are_ready, WITHIN_S)
        transport = httpx.ASGITransport(made)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://gateway"))


async def work(client: httpx.AsyncClient, *tokens: str) -> tuple[str, list[Mapping[str, Any]]]:
    """Log in, and use that token and others; return it, and every answer."""
    answers = [(await client.post("/api/login", json={"username": "admin", "password": "123"})).json()]
    token = str(answers[0].get("token"))
    for old_token in (token, *tokens):
        answers.append((await client.get("/api/v2/me", params={"token": old_token})).json())
        answers.append((await client.get("/api/query", params={"token": old_token})).json())
    mail = {"to": f"{secrets.token_hex(4)}@example.com", "method": "smtp", "content": {"subject": "a", "text": "b"}}
    answers.append((await client.post("/api/send", json={"token": token, **mail})).json())
    return token, answers


async def test_in_whatever_order_replicas_are_replaced_no_request_and_no_token_is_refused(
    store_url: str, tmp_path: Path
) -> None:
    tokens: dict[Keys, str] = {}
    refused = []
    for before, after in pairwise(STAGES):
        known = tuple(token for first, token in tokens.items() if after != (NEW,) or first[0] == NEW)
        for callers, owners in ((before, after), (after, before)):
            async with gateway(store_url, tmp_path, callers, owners) as client:
                if not tokens:
                    await _open_wide(client)
                tokens[owners], answers = await work(client, *known)
                refused += [(callers, owners, answer) for answer in answers if answer["errorCode"] != 0]
    assert refused == []


async def test_a_rotation_without_its_first_stage_refuses_calls(store_url: str, tmp_path: Path) -> None:
    """Why there are three stages: all services must know the new key before any signs with it."""
    async with gateway(store_url, tmp_path, callers=(NEW, OLD), owners=(OLD,)) as client:
        _, answers = await work(client)
    assert answers[0]["errorCode"] != 0


async def _open_wide(client: httpx.AsyncClient) -> None:
    token = (await client.post("/api/login", json={"username": "admin", "password": "123"})).json()["token"]
    limits = {"token": token, "per_day": 1_000, "per_hour": 1_000}
    assert (await client.post("/api/modify/admin", json=limits)).json()["errorCode"] == 0
