"""Prometheus as COMPOSE_PROFILES=monitoring starts it sees every service, and no alert fires."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from imsg_channels import CHANNELS
from imsg_testing.compose import ROOT, Containers
from imsg_testing.servers import reserve_port

pytestmark = pytest.mark.timeout(1_200)

IMAGE = "imsg-test-prometheus"

SERVICES = {
    "gateway",
    "auth",
    "history",
    "callbacks",
    "catalog",
    "scheduler",
    "console",
    *(one.service for one in CHANNELS),
}

METHODS = {channel.name for channel in CHANNELS}

ALERTS = (ROOT / "deploy/prometheus/imsg.rules.yml").read_text().count("- alert: ")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build Prometheus' image of this machine's own program, with the public image's user, folder and entry point."""
    folder = tmp_path_factory.mktemp("prometheus")
    program = shutil.which("prometheus")
    assert program is not None, "scripts/install-servers installs it"
    shutil.copy(Path(program).resolve(), folder / "prometheus")
    (base,) = [
        line.split()[1] for line in (ROOT / "deploy/Dockerfile").read_text().splitlines() if line.endswith("AS uv")
    ]
    lines = (
        f"FROM {base}",
        "COPY prometheus /bin/prometheus",
        "RUN mkdir /prometheus && chown nobody /prometheus",
        "USER nobody",
        'ENTRYPOINT ["/bin/prometheus"]',
    )
    (folder / "Dockerfile").write_text("\n".join(lines))
    subprocess.run(["docker", "build", "--quiet", "--tag", IMAGE, folder], check=True, timeout=300)
    return IMAGE


@pytest.fixture
def prometheus(containers: Containers, image: str) -> Iterator[httpx.Client]:
    """Yield a client of the Prometheus that runs beside the stack."""
    port = reserve_port()
    settings = {"PROMETHEUS_IMAGE": image, "PROMETHEUS_BIND": f"127.0.0.1:{port}"}
    with (
        containers.beside(settings, "prometheus"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30) as client,
    ):
        yield client


def read(client: httpx.Client, path: str, **params: str) -> Any:  # noqa: ANN401  Prometheus' own shapes
    """Read a URL of Prometheus' API."""
    answer = client.get(path, params=params).raise_for_status().json()
    assert answer["status"] == "success", answer
    return answer["data"]


def test_every_service_is_scraped_and_at_rest_no_alert_is_even_pending(
    containers: Containers, prometheus: httpx.Client
) -> None:
    def seen() -> dict[str, str]:
        try:
            targets = read(prometheus, "/targets", state="active")["activeTargets"]
        except httpx.TransportError:  # it starts
            return {}
        return {target["labels"]["service"]: target["health"] for target in targets}

    containers.wait(lambda: seen() == dict.fromkeys(SERVICES, "up"), within_s=120)
    targets = read(prometheus, "/targets", state="active")["activeTargets"]
    assert len(targets) == len(SERVICES), "one address for each replica, however many networks it is in"

    for metric in ("imsg_queue_depth", "imsg_queue_consumers", "imsg_breaker_open"):
        found = read(prometheus, "/query", query=f"count by (method) ({metric})")["result"]
        assert {one["metric"]["method"] for one in found} == METHODS, metric

    def alerts() -> dict[str, str]:
        (group,) = read(prometheus, "/rules", type="alert")["groups"]
        return {rule["name"]: rule["state"] for rule in group["rules"] if rule["health"] == "ok"}

    containers.wait(lambda: set(alerts().values()) == {"inactive"}, within_s=120)
    assert len(alerts()) == ALERTS


def test_what_a_sender_does_is_seen(containers: Containers, prometheus: httpx.Client) -> None:
    message = {"token": containers.token, "to": "seen@example.com", "method": "smtp"}
    sent = containers.call("POST", "/api/send", message | {"content": {"subject": "x", "text": "y"}})
    assert sent["errorCode"] == 0, sent

    def is_counted() -> bool:
        try:
            found = read(prometheus, "/query", query='sum(imsg_deliveries_total{method="smtp",result="sent"})')[
                "result"
            ]
        except httpx.TransportError:
            return False
        return bool(found) and float(found[0]["value"][1]) >= 1

    containers.wait(is_counted, within_s=120)
