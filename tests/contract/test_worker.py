"""The worker on both brokers: what is accepted settles, once, whatever the provider answers."""

import secrets
from collections.abc import AsyncIterator

import pytest

from imsg_shared.broker import Broker
from imsg_shared.redis import Redis
from imsg_shared.redis import connect as connect_redis
from imsg_shared.topology import Topology
from imsg_testing.trial import History, Provider, accept, broker_at, job, worker_at


@pytest.fixture(params=["rabbit", "streams"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """One after the other, both real brokers."""
    return str(request.getfixturevalue("rabbit_url" if request.param == "rabbit" else "valkey_url"))


@pytest.fixture
async def redis_url(valkey_url: str) -> str:
    """A database of this test's own."""
    url = valkey_url.removesuffix("/0") + f"/{1 + secrets.randbelow(15)}"
    async with connect_redis(url) as redis:
        await redis.call("FLUSHDB")
    return url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A connection to that database."""
    async with connect_redis(redis_url) as redis:
        yield redis


@pytest.fixture
async def broker(broker_url: str, topology: Topology) -> AsyncIterator[Broker]:
    """A broker, ready."""
    async with broker_at(broker_url, topology) as broker:
        yield broker


@pytest.fixture
async def history(broker: Broker) -> AsyncIterator[History]:
    """Somebody who hears all that history would."""
    history = History()
    async with history.listening(broker):
        yield history


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider that takes everything unless told otherwise."""
    provider = Provider()
    async with provider.running():
        yield provider


async def test_a_single_message_is_sent_and_history_hears_of_it(
    broker: Broker, redis_url: str, history: History, provider: Provider
) -> None:
    new = job()
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await history.settled(new.request)
    outcome = history.last(new.request)
    assert (outcome.status, outcome.provider, outcome.attempt) == ("sent", "trial", 1)
    assert outcome.provider_id == f"{new.request}-0"
    assert provider.count(new.request) == {0: 1}
    assert await broker.depth(broker.topology.queue("smtp", new.lane)) == 0


async def test_a_long_job_is_split_and_every_recipient_settles_once(
    broker: Broker, redis_url: str, history: History, provider: Provider
) -> None:
    new = job(230)
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await history.settled(new.request, 230)
    assert history.statuses(new.request) == {n: ["sent"] for n in range(230)}
    assert provider.count(new.request) == dict.fromkeys(range(230), 1)
    assert [len(heard.recipients) for heard in history.jobs] == [230]
