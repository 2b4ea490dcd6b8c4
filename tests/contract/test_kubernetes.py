"""The manifests of deploy/kubernetes are valid by Kubernetes' schemas and agree with the other deployments."""

import os
import pkgutil
import re
import subprocess
import sys
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from imsg import rights, secrets
from imsg.table_owners import TABLE_OWNERS
from imsg_broker.rabbitmq.address import parse
from imsg_channels import CHANNELS
from imsg_contract.version import VERSION
from imsg_database.address import hosts
from imsg_runtime import redis_address
from imsg_testing.kubernetes import ROOT, Document, build_folder, build_overlay, placeholders, pod
from imsg_web.callers import RULES

pytestmark = pytest.mark.long

OLDEST = "1.30"
"""The first whose pods may sleep before they are ended."""

VERSIONS = (OLDEST, str(kubernetes_validate.latest_version()))

COMPOSE: Document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def _arguments(part: Document) -> dict[str, str]:
    arguments: dict[str, str] = part.get("build", {}).get("args", {})
    return arguments


OURS = {
    name: _arguments(part)["MODULE"].split()
    for name, part in COMPOSE["services"].items()
    if _arguments(part) and name not in ("sandbox", "init", "cli")
}
"""The containers of docker-compose.yml with their packages; all but what is of compose alone."""

PARTED = OURS | {"catalog": ["imsg_catalog"], "scheduler": ["imsg_scheduler"]}
"""The same with the component `parted`."""

BUILDS = {"base": OURS, "example": OURS, "parted": PARTED}
"""Folder → what it has."""

CALLERS = {caller.replace("-", "_") for rule in RULES for caller in rule.callers}

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("build", [*BUILDS, "before", "example/before"])
def test_every_document_is_valid(build: str, version: str) -> None:
    for document in build_folder(build).documents:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("kind", ["PodMonitor", "PrometheusRule"])
def test_what_the_operator_of_prometheus_reads_is_as_its_models_have_it(kind: str) -> None:
    (document,) = build_folder("monitoring").of(kind).values()
    # Its models take seconds to import, which every run that collects this file would wait for.
    model = pkgutil.resolve_name(f"cloudcoil.models.prometheus_operator.v1:{kind}")

    read = model.model_validate(document)
    assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == document, "a field that it does not have"


def test_the_operator_scrapes_every_pod_and_has_the_alerts_of_the_other_sizes() -> None:
    (monitor,) = build_folder("monitoring").of("PodMonitor").values()
    (rule,) = build_folder("monitoring").of("PrometheusRule").values()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]

    assert rule["spec"] == yaml.safe_load((ROOT / "deploy/prometheus/imsg.rules.yml").read_text())
    for deployment in build_folder("monitoring").of("Deployment").values():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        (container,) = pod(deployment)["containers"]
        assert endpoint["port"] in {port["name"] for port in container["ports"]}


@pytest.mark.parametrize("build", ["before", "example/before"])
def test_the_job_before_a_roll_is_confined_and_has_the_secrets_that_it_asks_for(build: str) -> None:
    manifests = build_folder(build)
    (job,) = manifests.of("Job").values()
    specification = pod(job)
    (container,) = specification["containers"]
    (settings,) = (manifest["data"] for manifest in manifests.of("ConfigMap").values())
    listed = (ROOT / "docs" / "kubernetes.md").read_text()

    assert re.fullmatch(rf"(registry[.]example[.]com/)?imsg-cli:{re.escape(VERSION)}", container["image"])
    assert specification["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    asked = placeholders(settings) - {"service"}
    assert asked == {"redis_password", "rabbit_password"}
    assert all(f"`{name}`" in listed for name in asked)
    assert all(f"`{owner.name}_db_password`" in listed for owner in TABLE_OWNERS)
    parse(settings["IMSG_BROKER_URL"])


@pytest.mark.parametrize("build", BUILDS)
def test_every_service_is_there_and_no_other(build: str) -> None:
    manifests = build_folder(build)
    assert set(manifests.of("Deployment")) == set(BUILDS[build])
    assert set(manifests.of("PodDisruptionBudget")) == set(BUILDS[build])
    called = set(PARTED) - {channel.service for channel in CHANNELS if not channel.has_hooks}
    assert set(manifests.of("Service")) == called | {"nowhere"}


@pytest.mark.parametrize("build", BUILDS)
def test_every_image_is_of_this_version(build: str) -> None:
    for name, deployment in build_folder(build).of("Deployment").items():
        (container,) = pod(deployment)["containers"]
        image = "catalog" if name == "scheduler" else name
        assert re.fullmatch(rf"(registry[.]example[.]com/)?imsg-{image}:{re.escape(VERSION)}", container["image"])


@pytest.mark.parametrize("build", BUILDS)
def test_probes_ask_what_services_answer(build: str) -> None:
    for deployment in build_folder(build).of("Deployment").values():
        (container,) = pod(deployment)["containers"]
        paths = [container[probe]["httpGet"]["path"] for probe in PROBES]
        assert paths == ["/health/live", "/health/live", "/health/ready"]
        (port,) = container["ports"]
        assert {container[probe]["httpGet"]["port"] for probe in PROBES} == {port["name"]}
        assert str(port["containerPort"]) == build_folder(build).settings(deployment["metadata"]["name"])["IMSG_PORT"]


@pytest.mark.parametrize("build", BUILDS)
def test_every_pod_is_confined_as_the_strictest_standard_has_it(build: str) -> None:
    for deployment in build_folder(build).of("Deployment").values():
        specification = pod(deployment)
        assert specification["securityContext"]["runAsNonRoot"] is True
        assert specification["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert specification["automountServiceAccountToken"] is False
        assert specification["enableServiceLinks"] is False, "a Service named after a setting would shadow it"
        (container,) = specification["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} == set(container["resources"]["requests"]) == set(container["resources"]["limits"])


@pytest.mark.parametrize("service", OURS)
def test_a_limit_of_memory_is_not_below_compose_s(service: str) -> None:
    (container,) = pod(build_folder("base").of("Deployment")[service])["containers"]
    assert _bytes(container["resources"]["limits"]["memory"]) >= _bytes(COMPOSE["services"][service]["mem_limit"])


@pytest.mark.parametrize(("build", "service"), [(build, name) for build, names in BUILDS.items() for name in names])
def test_a_service_sees_the_secrets_it_needs_and_no_others(service: str, build: str) -> None:
    manifests = build_folder(build)
    assert manifests.secrets(service) == placeholders(manifests.settings(service))


@pytest.mark.parametrize("build", BUILDS)
def test_no_secret_is_in_the_documents_and_each_is_listed(build: str) -> None:
    manifests = build_folder(build)
    listed = (ROOT / "docs" / "kubernetes.md").read_text()
    assert manifests.of("Secret") == {}
    for name in set().union(*(manifests.keys(service).values() for service in OURS)):
        whose = re.sub(r"^.*_(rabbit|redis)_password$", r"SERVICE_\1_password", name)
        assert f"`{whose}`" in listed
    for deployment in manifests.of("Deployment").values():
        named = [volume["secret"]["secretName"] for volume in pod(deployment)["volumes"] if "secret" in volume]
        assert all(f"`{name}`" in listed for name in named)


@pytest.mark.parametrize(
    ("build", "container", "packages"),
    [*(("example", *item) for item in OURS.items()), ("parted", "catalog", ["imsg_catalog"])],
)
def test_a_container_takes_its_settings(build: str, container: str, packages: list[str]) -> None:
    given, read = set(), ""
    for package in packages:
        service = container if len(packages) == 1 else package.removeprefix("imsg_")
        settings = build_folder(build).read_environment(service)
        given |= set(settings) - {"MODULE"}
        started = f"import {package}.main as service; service.app(); print(sorted(service.Settings.model_fields))"
        done = subprocess.run(
            [sys.executable, "-c", started],
            env={"PATH": os.environ["PATH"], **settings},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        read += done.stdout
    unread = {name for name in given if name.removeprefix("IMSG_").partition("__")[0].lower() not in read}
    assert unread == ({"IMSG_AUTH_URL", "IMSG_HISTORY_URL"} if build == "parted" else set()), "that nobody reads"


@pytest.mark.parametrize("build", BUILDS)
def test_a_service_knows_its_own_passwords_and_keys_and_those_of_its_callers(build: str) -> None:
    manifests = build_folder(build)
    for service in rights.SERVICES:
        own = service.replace("-", "_")
        found = manifests.own_keys(service)
        assert found["rabbit_password"] == f"{own}_rabbit_password"
        assert found["redis_password"] == f"{own}_redis_password"
        assert found.get("service_key", f"{own}_key") == f"{own}_key"
        callers = {caller for rule in RULES if rule.owner == service.removeprefix("sender-") for caller in rule.callers}
        known = {f"{caller.replace('-', '_')}_key" for caller in callers}
        assert {key for key in found.values() if key.endswith("_key") and key[:-4] in CALLERS} - {f"{own}_key"} == known
        settings = manifests.read_environment(service)
        assert f"imsg-{service}" in settings["IMSG_BROKER_URL"]
        assert f"imsg-{service}" in settings["IMSG_REDIS_URL"]


@pytest.mark.parametrize("build", BUILDS)
def test_a_key_that_a_pod_mounts_is_derived_or_kept_or_chosen_elsewhere(build: str) -> None:
    manifests = build_folder(build)
    mounted = {key for name in manifests.of("Deployment") for key in manifests.keys(name).values()}
    made = {*secrets.DERIVED, *secrets.KEPT}
    literals = {channel.name: " ".join(channel.deployment.literals) for channel in CHANNELS if channel.deployment}
    chosen = placeholders(literals)
    listed = (ROOT / "docs" / "kubernetes.md").read_text()

    assert secrets.ROOT not in mounted
    assert mounted - made == chosen
    assert [key for key in chosen if f"`{key}`" not in listed] == []


def test_a_channel_that_is_not_used_idles_as_the_manual_has_it() -> None:
    manual = (ROOT / "docs" / "kubernetes.md").read_text()
    (overlay,) = re.findall(r"```yaml\n(configMapGenerator:.*?)```", manual, re.DOTALL)
    manifests = build_overlay(f"resources: [../base]\n{overlay}")
    for document in manifests.documents:
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
    settings = manifests.settings("sender-sms")
    assert settings["IMSG_NO_PROVIDER"] == "idle"
    assert not any("ALIYUN" in name for name in settings)
    assert manifests.secrets("sender-sms") == placeholders(settings)


def test_stores_that_fail_over_are_read_as_the_manual_has_them() -> None:
    manual = (ROOT / "docs" / "kubernetes.md").read_text()
    (overlay,) = re.findall(r"```yaml\n# Stores that fail over\n(.*?)```", manual, re.DOTALL)
    manifests = build_overlay(f"resources: [../base]\n{overlay}")
    ports = {
        rule["port"]
        for policy in manifests.documents
        if policy["kind"] == "NetworkPolicy" and policy["metadata"]["name"] == "to-the-stores"
        for egress in policy["spec"]["egress"]
        for rule in egress["ports"]
    }
    sentinels = redis_address.read(manifests.settings("gateway")["IMSG_REDIS_URL"])
    assert sentinels is not None
    assert (len(sentinels.hosts), sentinels.name) == (3, "imsg-main")
    assert {port for _, port in sentinels.hosts} <= ports
    assert len(hosts(manifests.settings("auth")["IMSG_DATABASE_URL"])) == 2
    assert [port for _, port in hosts(manifests.settings("history")["IMSG_DATABASE_URL"])] == [6432]
    assert {
        port for name in ("auth", "history") for _, port in hosts(manifests.settings(name)["IMSG_DATABASE_URL"])
    } <= ports


def test_the_broker_of_the_example_is_a_cluster_over_tls() -> None:
    address = parse(build_folder("example").read_environment("gateway")["IMSG_BROKER_URL"])
    assert len(address.hosts) == 3
    assert address.tls is not None
    for name in ("gateway", "auth", "history", *(channel.service for channel in CHANNELS)):
        (container,) = pod(build_folder("example").of("Deployment")[name])["containers"]
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert os.path.dirname(str(address.tls.cafile)) in mounted  # noqa: PTH120  a path of the container


def test_the_ingress_is_the_table_of_the_edge() -> None:
    caddy = (ROOT / "deploy" / "Caddyfile").read_text()
    matchers = dict(re.findall(r"^\t@(\w+) path (.+)$", caddy, re.MULTILINE))
    served = dict(re.findall(r"handle @(\w+) \{\n\t\tvars service ([\w-]+)", caddy))
    table = _paths()
    parted = set()
    for matcher, service in served.items():
        if service in ("sandbox", "console"):
            continue
        for path in {word.removesuffix("/*") for word in matchers[matcher].split()}:
            assert table.pop(path) == service
            parted.add(path)
    (nobody,) = re.findall(r"@console not path (.+)$", caddy, re.MULTILINE)
    for path in {word.removesuffix("/*") for word in nobody.split()} - parted:
        assert table.pop(path) == "nowhere"
    assert table == {"/": "console"}


def test_the_service_nowhere_selects_no_pod() -> None:
    selector = build_folder("base").of("Service")["nowhere"]["spec"]["selector"]["app.kubernetes.io/name"]
    assert selector not in PARTED


def test_a_called_service_admits_its_callers_and_no_others() -> None:
    callers: dict[str, set[str]] = {}
    for service in PARTED:
        for value in build_folder("parted").settings(service).values():
            if (called := re.fullmatch(r"http://([\w-]+):8000", value)) is not None:
                callers.setdefault(called[1], set()).add(service)
    let_in: dict[str, set[str]] = {}
    for policy in build_folder("parted").of("NetworkPolicy").values():
        for rule in policy["spec"].get("ingress", ()):
            sources = [peer["podSelector"] for peer in rule["from"] if set(peer) == {"podSelector"}]
            for selector in sources:
                for called_one in _select(policy["spec"]["podSelector"]):
                    let_in.setdefault(called_one, set()).update(_select(selector))
    assert let_in == callers


def test_every_pod_is_reached_for_its_metrics_and_found_by_what_scrapes() -> None:
    scraping = yaml.safe_load((ROOT / "deploy/prometheus/kubernetes.yml").read_text())["scrape_configs"][0]
    kept = {rule["source_labels"][0]: rule["regex"] for rule in scraping["relabel_configs"] if rule.get("action")}
    namespaces = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    let_in: set[str] = set()
    for policy in build_folder("parted").of("NetworkPolicy").values():
        for rule in policy["spec"].get("ingress", ()):
            if namespaces in rule["from"] and {"protocol": "TCP", "port": "http"} in rule["ports"]:
                let_in |= _select(policy["spec"]["podSelector"])

    assert let_in == set(PARTED)
    for name, deployment in build_folder("parted").of("Deployment").items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        (container,) = pod(deployment)["containers"]
        assert labels["app.kubernetes.io/name"] == name
        assert kept["__meta_kubernetes_pod_label_app_kubernetes_io_part_of"] == labels["app.kubernetes.io/part-of"]
        assert kept["__meta_kubernetes_pod_container_port_name"] in {port["name"] for port in container["ports"]}


def test_every_policy_is_about_services_that_there_are() -> None:
    for policy in build_folder("base").of("NetworkPolicy").values():
        assert _select(policy["spec"]["podSelector"]) <= set(PARTED)


def test_a_pod_has_the_time_to_end_that_it_wants() -> None:
    """Five seconds until no request is routed there, and compose's grace period."""
    for name, deployment in build_folder("base").of("Deployment").items():
        (container,) = pod(deployment)["containers"]
        before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        wanted = int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s"))
        assert pod(deployment)["terminationGracePeriodSeconds"] >= before + wanted


def test_where_autoscalers_count_no_replicas_are_set() -> None:
    manifests = build_folder("example")
    for scaler in manifests.of("HorizontalPodAutoscaler").values():
        scaled = scaler["spec"]["scaleTargetRef"]["name"]
        assert "replicas" not in manifests.of("Deployment")[scaled]["spec"]
        assert scaler["spec"]["minReplicas"] >= build_folder("base").of("Deployment")[scaled]["spec"]["replicas"]


def _paths() -> dict[str, str]:
    table: dict[str, str] = {}
    for ingress in build_folder("base").of("Ingress").values():
        (rule,) = ingress["spec"]["rules"]
        for path in rule["http"]["paths"]:
            table[path["path"]] = path["backend"]["service"]["name"]
    return table


def _select(selector: dict[str, Any]) -> set[str]:
    """Return the services whose pods a selector selects, by their only distinct label."""
    labels = selector.get("matchLabels", {})
    expressions = selector.get("matchExpressions", ())
    names = [set(expression["values"]) for expression in expressions if expression["operator"] == "In"]
    if "app.kubernetes.io/name" in labels:
        names.append({labels["app.kubernetes.io/name"]})
    return set.intersection(*names) if names else set(PARTED)


def _bytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([a-zA-Z]+)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 1, "mi": 1, "g": 1024, "gi": 1024}[unit.lower()]


def test_bounces_are_led_to_the_port_that_is_listened_on() -> None:
    manifests = build_folder("bounces")
    for document in manifests.documents:
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
    port = int(manifests.settings("sender-smtp")["IMSG_SMTP__BOUNCE_LISTENER__PORT"])
    sender = manifests.of("Deployment")["sender-smtp"]
    (container,) = pod(sender)["containers"]
    assert {"name": "bounces", "containerPort": port} in container["ports"]
    service = manifests.of("Service")["bounces"]["spec"]
    assert service["ports"] == [{"name": "smtp", "port": 25, "targetPort": "bounces"}]
    assert service["selector"].items() <= sender["spec"]["template"]["metadata"]["labels"].items()
    (policy,) = [
        manifest
        for manifest in manifests.of("NetworkPolicy").values()
        if manifest["metadata"]["name"] == "bounces-from-the-world"
    ]
    assert policy["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": "bounces"}]}]
