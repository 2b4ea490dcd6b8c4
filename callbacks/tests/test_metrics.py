"""The numbers of callbacks for Prometheus."""

import pytest
from prometheus_client import CollectorRegistry

from imsg_callbacks.dispatcher import DispatcherMetrics


@pytest.mark.parametrize("why", ["gone", "failing"])
def test_disabled_endpoints_are_counted_from_zero(why: str) -> None:
    registry = CollectorRegistry()
    DispatcherMetrics(registry)
    assert registry.get_sample_value("imsg_callbacks_disabled_total", {"why": why}) == 0
