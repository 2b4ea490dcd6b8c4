"""What the worker's tests stand on: both brokers, a claims store of their own, a history that listens, a provider."""

import secrets
from collections.abc import AsyncIterator

import pytest

from imsg_broker.port import Broker
from imsg_contract.topology import Topology
from imsg_runtime.redis import Redis
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.trial import History, Provider, broker_at


@pytest.fixture(params=["rabbit", "streams"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Name one real broker after the other."""
    return str(request.getfixturevalue("rabbit_url" if request.param == "rabbit" else "valkey_url"))


@pytest.fixture
async def redis_url(valkey_url: str) -> str:
    """Choose a database and empty it."""
    url = valkey_url.removesuffix("/0") + f"/{1 + secrets.randbelow(15)}"
    async with connect_redis(url) as redis:
        await redis.call("FLUSHDB")
    return url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Connect to that database."""
    async with connect_redis(redis_url) as redis:
        yield redis


@pytest.fixture
async def broker(broker_url: str, topology: Topology) -> AsyncIterator[Broker]:
    """Open a broker and wait until it is ready."""
    async with broker_at(broker_url, topology) as broker:
        yield broker


@pytest.fixture
async def history(broker: Broker) -> AsyncIterator[History]:
    """Listen to all that history would hear."""
    history = History()
    async with history.listening(broker):
        yield history


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Run a provider that takes everything unless told otherwise."""
    provider = Provider()
    async with provider.running():
        yield provider
