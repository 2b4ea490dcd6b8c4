"""Prometheus as COMPOSE_PROFILES=monitoring starts it sees every service, and no alert fires."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from imsg_channels import CHANNELS
from imsg_testing.compose import ROOT, Containers
from imsg_testing.servers import reserve_port

pytestmark = pytest.mark.timeout(1_200)

PROGRAMS = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}
"""The service → Debian's name of its program."""

SHARED = Path("/usr/share/prometheus")
"""Where Debian's programs find their templates."""

SERVICES = {
    "gateway",
    "auth",
    "history",
    "callbacks",
    "catalog",
    "scheduler",
    "console",
    *(channel.service for channel in CHANNELS),
}

METHODS = {channel.name for channel in CHANNELS}

ALERTS = (ROOT / "deploy/prometheus/imsg.rules.yml").read_text().count("- alert: ")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Build images of this machine's own programs, with the public images' user, folder and entry point."""
    (base,) = [
        line.split()[1] for line in (ROOT / "deploy/Dockerfile").read_text().splitlines() if line.endswith("AS uv")
    ]
    for service, name in PROGRAMS.items():
        folder = tmp_path_factory.mktemp(service)
        program = shutil.which(name)
        assert program is not None, "scripts/install-servers installs it"
        shutil.copy(Path(program).resolve(), folder / service)
        shutil.copytree(SHARED, folder / "shared")
        lines = (
            f"FROM {base}",
            f"COPY {service} /bin/{service}",
            f"COPY shared {SHARED}",
            f"RUN mkdir /{service} && chown nobody /{service}",
            "USER nobody",
            f'ENTRYPOINT ["/bin/{service}"]',
        )
        (folder / "Dockerfile").write_text("\n".join(lines))
        subprocess.run(["docker", "build", "--quiet", "--tag", f"imsg-test-{service}", folder], check=True, timeout=300)
    return {f"{service.upper()}_IMAGE": f"imsg-test-{service}" for service in PROGRAMS}


@dataclass(frozen=True, slots=True)
class Monitoring:
    """Clients of the two that run beside the stack."""

    prometheus: httpx.Client
    alertmanager: httpx.Client


@pytest.fixture(scope="module")
def monitoring(containers: Containers, images: dict[str, str]) -> Iterator[Monitoring]:
    """Run Prometheus and Alertmanager beside the stack."""
    ports = {service: reserve_port() for service in PROGRAMS}
    binds = {f"{service.upper()}_BIND": f"127.0.0.1:{port}" for service, port in ports.items()}
    with (
        containers.beside(images | binds, *PROGRAMS),
        httpx.Client(base_url=f"http://127.0.0.1:{ports['prometheus']}/api/v1", timeout=30) as prometheus,
        httpx.Client(base_url=f"http://127.0.0.1:{ports['alertmanager']}/api/v2", timeout=30) as alertmanager,
    ):
        yield Monitoring(prometheus, alertmanager)


@pytest.fixture
def prometheus(monitoring: Monitoring) -> httpx.Client:
    """Yield a client of the Prometheus that runs beside the stack."""
    return monitoring.prometheus


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
        assert {sample["metric"]["method"] for sample in found} == METHODS, metric

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


def test_an_alert_reaches_alertmanager_with_its_runbook(containers: Containers, monitoring: Monitoring) -> None:
    def firing() -> dict[str, str]:
        try:
            alerts = monitoring.alertmanager.get("/alerts").raise_for_status().json()
        except httpx.HTTPError:
            return {}
        return {alert["labels"]["alertname"]: alert["annotations"].get("runbook", "") for alert in alerts}

    containers.compose("stop", "callbacks")
    try:
        containers.wait(lambda: "ImsgServiceGone" in firing(), within_s=400)
    finally:
        containers.compose("start", "callbacks")

    assert firing()["ImsgServiceGone"] == "docs/runbooks/ImsgServiceGone.md"
