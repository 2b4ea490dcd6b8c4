"""The worker's numbers for Prometheus."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from imsg_contract.topology import Lane
from imsg_contract.wire import Result

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""From a relay on the same host to a mail server that takes its minutes after the final dot."""


class Meter:
    """Attempts by result, what is in flight, how long calls take, what was buried, whether it is blocked."""

    def __init__(self, registry: CollectorRegistry, method: str) -> None:
        self._method = method
        self._attempts = Counter(
            "imsg_deliveries",
            "Attempts at one message, by what the provider said",
            ("method", "result"),
            registry=registry,
        )
        in_flight = Gauge("imsg_provider_inflight", "Provider calls under way", ("method", "lane"), registry=registry)
        self._in_flight = {lane: in_flight.labels(method, lane.value) for lane in Lane}
        self._seconds = Histogram(
            "imsg_delivery_duration_seconds",
            "How long a provider call took",
            ("method",),
            buckets=SECONDS,
            registry=registry,
        ).labels(method)
        self._dead = Counter("imsg_dead_letters", "Jobs given to history as dead", ("method",), registry=registry)
        self.blocked = Gauge(
            "imsg_breaker_open", "1 while the provider lets nothing through", ("method",), registry=registry
        ).labels(method)

    @contextmanager
    def calling(self, lane: Lane) -> Iterator[None]:
        """Measure one provider call."""
        with self._in_flight[lane].track_inprogress(), self._seconds.time():
            yield

    def attempted(self, result: Result) -> None:
        """Count one attempt at one message."""
        self._attempts.labels(self._method, type(result).__name__.lower()).inc()

    def buried(self) -> None:
        """Count a dead job."""
        self._dead.labels(self._method).inc()
