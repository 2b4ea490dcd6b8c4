"""A consumer knows up to when all of its queue is recorded, and how old the rest is."""

from prometheus_client import CollectorRegistry

from imsg_runtime.queue_lag import QueueLag


class Gone(Exception):  # noqa: N818  a state of the world
    """The broker can't be asked."""


class Queue:
    """A queue of the test's, and its clock."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.depth: int | None = 0
        self.registry = CollectorRegistry()
        self.lag = QueueLag("imsg.history", self.count, Gone, self.registry, lambda: self.now_ms)

    async def count(self) -> int:
        """Count what waits."""
        if self.depth is None:
            raise Gone
        return self.depth

    def read(self, name: str) -> float | None:
        """Read a metric."""
        return self.registry.get_sample_value(name, {"queue": "imsg.history"})


async def test_an_empty_queue_is_complete_up_to_now_and_nothing_is_old() -> None:
    queue = Queue()
    seen = [queue.lag.as_of_ms]
    await queue.lag.look()
    seen.append(queue.lag.as_of_ms)
    assert seen == [None, queue.now_ms]
    assert (queue.read("imsg_consumer_queue_depth"), queue.read("imsg_consumer_queue_oldest_seconds")) == (0, 0)


async def test_what_is_not_recorded_ages_and_what_is_older_is_complete() -> None:
    queue = Queue()
    await queue.lag.look()
    queue.depth, queue.now_ms = 7, queue.now_ms + 60_000
    queue.lag.take(1_030_000)
    await queue.lag.look()
    assert queue.lag.as_of_ms == 1_030_000
    assert (queue.read("imsg_consumer_queue_depth"), queue.read("imsg_consumer_queue_oldest_seconds")) == (7, 30)

    queue.lag.take(1_010_000)  # one that came again
    assert queue.lag.as_of_ms == 1_030_000


async def test_while_the_broker_cannot_be_asked_nothing_is_said_to_be_new() -> None:
    queue = Queue()
    await queue.lag.look()
    queue.depth, queue.now_ms = None, queue.now_ms + 300_000
    await queue.lag.look()
    assert queue.lag.as_of_ms == 1_000_000
    assert queue.read("imsg_consumer_queue_oldest_seconds") == 300
