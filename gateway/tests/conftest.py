"""A gateway per test, in both versions of the interface where the test asks for it."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from imsg_gateway.idempotency import IdempotencyKeys
from imsg_limits.admission import Admission
from imsg_testing.gateway import RunningGateway, run_gateway

LOOKS = (
    "imsg_gateway.channels.PAUSED_WITHIN_S",
    "imsg_gateway.channels.SWITCHED_WITHIN_S",
    "imsg_gateway.costs.POLL_S",
    "imsg_gateway.key_usage.EVERY_S",
    "imsg_gateway.next_due.POLL_S",
    "imsg_gateway.providers.POLL_S",
    "imsg_gateway.status.POLL_S",
    "imsg_limits.backpressure.READ_EVERY_S",
    "imsg_limits.windows.READ_S",
    "imsg_runtime.redis.PROBE_S",
)
"""How often a gateway looks, and how long it lets others look: a test waits for each."""


@pytest.fixture(autouse=True)
def prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let gateways look often and wait as long as a busy machine takes."""
    monkeypatch.setattr("imsg_gateway.main.Admission", partial(Admission, patience_s=60.0))
    monkeypatch.setattr("imsg_gateway.main.IdempotencyKeys", partial(IdempotencyKeys, wait_s=60.0))
    for name in LOOKS:
        monkeypatch.setattr(name, 0.1)


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
