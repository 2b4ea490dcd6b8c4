"""What the gateway counts of requests: how many, by what they were answered, and how long it took."""

import re
from collections.abc import Callable

from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, Counter, Histogram

from imsg_gateway.v1 import url_of

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
        self._children: dict[tuple[str, str, bytes], tuple[Counter, Histogram]] = {}

    def count(self, verb: str, route: object, body: bytes, seconds: float) -> tuple[str, str]:
        """Count one answer by the route that was found, if any, and the beginning of its body.

        Return the route's pattern and the errorCode.
        """
        if isinstance(route, APIRoute) and verb in (route.methods or ()):
            pattern = route.path_format
        else:
            verb, pattern = "", UNKNOWN_ROUTE
        match = _CODE.search(body[:_HEAD_OCTETS])
        key = (verb, pattern, b"" if match is None else match[1])
        children = self._children.get(key)
        if children is None:  # a look-up among the children costs a lock and four comparisons a request
            children = self._children[key] = self._find_children(*key)
        counter, histogram = children
        counter.inc()
        histogram.observe(seconds)
        return pattern, key[2].decode()

    def _find_children(self, verb: str, pattern: str, code: bytes) -> tuple[Counter, Histogram]:
        version = _find_version(pattern)
        return self._requests.labels(verb, pattern, version, code.decode()), self._seconds.labels(pattern)


def _find_version(pattern: str) -> str:
    """Return the version of the API that a route is of; empty for pages and for what is no route."""
    if url_of(pattern) is not None:
        return "v1"
    return "v2" if pattern.startswith("/api/v2/") else ""
