"""What the gateway counts of requests: how many, by what they were answered, and how long it took."""

import re
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.responses import Response

from imsg_web.responses import Answer

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""From one accepted in a few milliseconds to a relayed query that runs into its time-out."""

UNKNOWN_ROUTE = "unknown"
"""The route of what leads nowhere: a path from outside is no label."""

_CODE = re.compile(rb'"errorCode": ?([0-9]{1,5})')
_HEAD_OCTETS = 64
"""Every answer of ours begins with its errorCode."""


class RequestMetrics:
    """Requests by verb, route, version of the API and errorCode; no user, address or token among the labels."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self.clock = clock
        """In seconds, from any point on."""
        self._requests = Counter(
            "imsg_requests",
            "Requests answered, by what the answer says",
            ("verb", "route", "version", "code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "imsg_request_duration_seconds",
            "From a request's head to its answer, the time in which its body arrived included",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self._counters: dict[tuple[str, str, str, str], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def count(self, verb: str, route: str, version: str, response: Response, seconds: float) -> None:
        """Count one answer."""
        labels = (verb if route != UNKNOWN_ROUTE else "", route, version, _code(response))
        counter = self._counters.get(labels)
        if counter is None:  # a look-up among the children costs a lock and four comparisons a request
            counter = self._counters[labels] = self._requests.labels(*labels)
        counter.inc()
        histogram = self._histograms.get(route)
        if histogram is None:
            histogram = self._histograms[route] = self._seconds.labels(route)
        histogram.observe(seconds)


def _code(response: Response) -> str:
    """Read the errorCode out of an answer; empty for a page or a file."""
    if isinstance(response, Answer):
        return str(response.content.get("errorCode", ""))
    body = getattr(response, "body", b"")
    found = _CODE.search(bytes(body[:_HEAD_OCTETS]))
    return found[1].decode() if found else ""
