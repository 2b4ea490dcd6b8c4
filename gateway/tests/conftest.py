"""A gateway per test, in both HTTP status modes where the test asks for it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from imsg_testing.gateway import World, world
from imsg_testing.waiting import eventually


@pytest.fixture
def store_url(valkey_url: str) -> str:
    """Name a database of Valkey that only the gateway's tests empty."""
    return valkey_url.removesuffix("/0") + "/7"


@pytest.fixture
async def gateway(store_url: str) -> AsyncIterator[World]:
    """Open a gateway with truthful statuses, ready."""
    async with world(store_url, http_status="truthful") as opened:
        await ready(opened)
        yield opened


@pytest.fixture(params=["documented", "truthful"])
async def either_mode(store_url: str, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Open a gateway in each HTTP status mode, ready."""
    accounts: dict[str, Any] = {"accounts": {"main": {}, "other": {}}}
    async with world(store_url, http_status=request.param, wechat=accounts) as opened:
        await ready(opened)
        yield opened


async def ready(opened: World) -> None:
    """Wait until a gateway is ready."""

    async def is_ready() -> bool:
        return not opened.service.unmet()

    await eventually(is_ready)
