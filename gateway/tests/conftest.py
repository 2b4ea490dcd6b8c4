"""A gateway per test, in both versions of the interface where the test asks for it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from imsg_testing.gateway import RunningGateway, run_gateway


@pytest.fixture
def store_url(valkey_url: str) -> str:
    """Return the URL of a Valkey database that only the gateway's tests empty."""
    return valkey_url.removesuffix("/0") + "/7"


@pytest.fixture
async def gateway(store_url: str) -> AsyncIterator[RunningGateway]:
    """Open a gateway that is called by v2, ready."""
    async with run_gateway(store_url) as opened:
        await opened.ready()
        yield opened


@pytest.fixture(params=["v1", "v2"])
async def either(store_url: str, request: pytest.FixtureRequest) -> AsyncIterator[RunningGateway]:
    """Open a gateway that is called by each version, ready."""
    accounts: dict[str, Any] = {"accounts": {"main": {}, "other": {}}}
    async with run_gateway(store_url, is_v2=request.param == "v2", wechat=accounts) as opened:
        await opened.ready()
        yield opened
