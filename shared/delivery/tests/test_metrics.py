"""The worker's numbers for Prometheus."""

from prometheus_client import CollectorRegistry

from imsg_contract.results import Sent, Unknown
from imsg_delivery.metrics import Metrics


def test_a_provider_has_a_series_for_each_result_from_its_first_attempt() -> None:
    registry = CollectorRegistry()
    attempts = Metrics(registry, "smtp").attempts
    attempts["mail.example.com"][Sent.kind].inc()

    def read(result: str) -> float | None:
        labels = {"method": "smtp", "provider": "mail.example.com", "result": result}
        return registry.get_sample_value("imsg_deliveries_total", labels)

    assert {result: read(result) for result in ("sent", "again", "refused", "blocked", "unknown")} == {
        "sent": 1,
        "again": 0,
        "refused": 0,
        "blocked": 0,
        "unknown": 0,
    }
    attempts["mail.example.com"][Unknown.kind].inc()
    assert read("unknown") == 1
