"""A consumer knows up to when all of its queue is recorded, by all its replicas, and how old the rest is."""

import secrets

import pytest
from prometheus_client import CollectorRegistry

from imsg_contract.topology import RECORDED_BY_ALL, recorded_key
from imsg_runtime.queue_lag import QueueLag
from imsg_runtime.redis import Redis


class Gone(Exception):  # noqa: N818  a state of the world
    """The broker can't be asked."""


class Queue:
    """A queue of the test's as one replica sees it, and its clock."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.now_ms = 1_000_000
        self.depth: int | None = 0
        self.name = name
        self.registry = CollectorRegistry()
        self.lag = QueueLag(name, self.count, Gone, redis, registry=self.registry, now_ms=lambda: self.now_ms)

    async def count(self) -> int:
        """Count what waits."""
        if self.depth is None:
            raise Gone
        return self.depth

    def read(self, metric: str) -> float | None:
        """Read a metric."""
        return self.registry.get_sample_value(metric, {"queue": self.name})


@pytest.fixture
def name() -> str:
    """Return the name of a queue that no other test uses."""
    return f"imsg.{secrets.token_hex(4)}"


@pytest.fixture
def queue(redis: Redis, name: str) -> Queue:
    """Make the queue of a single replica."""
    return Queue(redis, name)


async def test_an_empty_queue_is_complete_up_to_now_and_nothing_is_old(queue: Queue) -> None:
    seen = [queue.lag.as_of_ms]
    await queue.lag.update()
    seen.append(queue.lag.as_of_ms)
    assert seen == [None, queue.now_ms]
    assert (queue.read("imsg_consumer_queue_depth"), queue.read("imsg_consumer_queue_oldest_seconds")) == (0, 0)


async def test_what_is_not_recorded_ages_and_what_is_older_is_complete(queue: Queue) -> None:
    await queue.lag.update()
    queue.depth, queue.now_ms = 7, queue.now_ms + 60_000
    queue.lag.record(1_030_000)
    await queue.lag.update()
    assert queue.lag.as_of_ms == 1_030_000
    assert (queue.read("imsg_consumer_queue_depth"), queue.read("imsg_consumer_queue_oldest_seconds")) == (7, 30)

    queue.lag.record(1_010_000)  # one that came again
    await queue.lag.update()
    assert queue.lag.as_of_ms == 1_030_000


async def test_while_the_broker_cannot_be_asked_no_newer_time_is_published(queue: Queue) -> None:
    await queue.lag.update()
    queue.depth, queue.now_ms = None, queue.now_ms + 300_000
    await queue.lag.update()
    assert queue.lag.as_of_ms == 1_000_000
    assert queue.read("imsg_consumer_queue_oldest_seconds") == 300


async def test_the_slowest_of_two_replicas_decides_what_is_complete_until_it_is_gone(redis: Redis, name: str) -> None:
    slow, fast = Queue(redis, name), Queue(redis, name)
    slow.lag.record(1_000_000)
    slow.depth = fast.depth = 7
    fast.lag.record(1_040_000)
    for replica in (slow, fast, slow):
        await replica.lag.update()
        assert await redis.call("HGET", recorded_key(name), RECORDED_BY_ALL) == b"1000000"
    assert (slow.lag.as_of_ms, fast.lag.as_of_ms) == (1_000_000, 1_000_000)

    for field in await redis.call("HKEYS", recorded_key(name)):
        mark, _, written_ms = (await redis.call("HGET", recorded_key(name), field)).partition(b" ")
        if mark == b"1000000" and written_ms:  # the slow one's, who has written nothing for a minute
            await redis.call("HSET", recorded_key(name), field, f"1000000 {int(written_ms) - 61_000}")
    await fast.lag.update()
    assert fast.lag.as_of_ms == 1_040_000
