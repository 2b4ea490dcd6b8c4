"""A gateway per test, in both HTTP status modes where the test asks for it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from imsg_testing.gateway import World, world


@pytest.fixture
def store_url(valkey_url: str) -> str:
    """Name a database of Valkey that only the gateway's tests empty."""
    return valkey_url.removesuffix("/0") + "/7"


@pytest.fixture
async def gateway(store_url: str) -> AsyncIterator[World]:
    """Open a gateway with truthful statuses, ready."""
    async with world(store_url, http_status="truthful") as opened:
        await opened.ready()
        yield opened


@pytest.fixture(params=["documented", "truthful"])
async def either_mode(store_url: str, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Open a gateway in each HTTP status mode, ready."""
    accounts: dict[str, Any] = {"accounts": {"main": {}, "other": {}}}
    async with world(store_url, http_status=request.param, wechat=accounts) as opened:
        await opened.ready()
        yield opened
