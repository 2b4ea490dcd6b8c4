"""The worker's numbers for Prometheus."""

from collections.abc import Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from imsg_contract.results import Kind
from imsg_contract.topology import Lane

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""From a relay on the same host to a mail server that answers minutes after the final dot."""


ACCEPT_TO_SENT_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400)
"""From a message that finds an empty queue to one that was retried for a day."""


KINDS: tuple[Kind, ...] = get_args(Kind)


class Attempts(dict[str, Mapping[Kind, Counter]]):
    """Provider → kind of result → its counter, bound to its labels at the provider's first attempt."""

    def __init__(self, attempts: Counter, method: str) -> None:
        super().__init__()
        self._attempts = attempts
        self._method = method

    def __missing__(self, provider: str) -> Mapping[Kind, Counter]:
        """Bind a provider's counters, of all kinds: of a series that begins with 60 Prometheus sees no increase."""
        counters = {kind: self._attempts.labels(self._method, provider, kind) for kind in KINDS}
        self[provider] = counters
        return counters


class Metrics:
    """Attempts by result, calls in flight by lane, how long calls and messages take, dead letters, blocks.

    Each is bound to its labels once, so that a delivery only counts.
    """

    def __init__(self, registry: CollectorRegistry, method: str) -> None:
        attempts = Counter(
            "imsg_deliveries",
            "Attempts at one message, by what the provider said",
            ("method", "provider", "result"),
            registry=registry,
        )
        self.attempts = Attempts(attempts, method)
        in_flight = Gauge("imsg_provider_inflight", "Provider calls under way", ("method", "lane"), registry=registry)
        self.in_flight = {lane: in_flight.labels(method, lane.value) for lane in Lane}
        self.seconds = Histogram(
            "imsg_delivery_duration_seconds",
            "How long a provider call took",
            ("method",),
            buckets=SECONDS,
            registry=registry,
        ).labels(method)
        self.accept_to_sent = Histogram(
            "imsg_accept_to_sent_seconds",
            "From the acceptance of a message to the provider's yes: the queue, retries and the call",
            ("method",),
            buckets=ACCEPT_TO_SENT_S,
            registry=registry,
        ).labels(method)
        self.dead = Counter(
            "imsg_dead_letters", "Jobs given to history as dead", ("method",), registry=registry
        ).labels(method)
        self.blocked = Gauge(
            "imsg_breaker_open", "1 while the provider lets nothing through", ("method",), registry=registry
        ).labels(method)
