"""Blocks in the manifests of Kubernetes, and the manifests that are written as a whole."""

import re
from collections.abc import Callable, Mapping
from string import Template

import yaml

from imsg_channels.deployment import Deployment
from imsg_channels.spec import ChannelSpec
from imsg_contract.version import VERSION
from imsg_runtime.settings import variable
from imsg_testing.deployed import (
    ASKED,
    ASKING_HISTORY,
    DEPLOYED,
    HOOKED,
    IMAGES,
    READING,
    ROOT,
    SENDERS,
    Lines,
    name_file,
    write_memory,
)

_SECRET = re.compile(r"\{(\w+)\}")

REGISTRY = "registry.example.com"
"""Of Kubernetes' example."""


def list_resources() -> Lines:
    """List the senders' files."""
    yield from (f"- {service}.yaml" for service in SENDERS)


def list_images() -> Lines:
    """List the images with this version."""
    for service in IMAGES:
        yield from write_image(service)


def write_image(service: str, registry: str = "") -> Lines:
    """Write one image with this version."""
    renamed = f"newName: {registry}/imsg-{service}, " if registry else ""
    yield f"- {{ name: imsg-{service}, {renamed}newTag: {VERSION} }}"


def list_images_of_registry() -> Lines:
    """List the images in a registry of yours."""
    for service in IMAGES:
        yield from write_image(service, REGISTRY)


def list_peers() -> Lines:
    """Yield the keys of history's callers."""
    yield from (
        f"- {variable('peer_keys', name_file(caller))}={{{name_file(caller)}_key}}" for caller in ASKING_HISTORY
    )


def list_peer_files() -> Lines:
    """List the files of these keys."""
    yield from (f"- {{ key: {name_file(caller)}_key, path: {name_file(caller)}_key }}" for caller in ASKING_HISTORY)


def list_provider_keys() -> Lines:
    """List the keys by which senders read their accounts."""
    for channel, _ in DEPLOYED:
        yield f"- {variable('provider_keys', channel.name)}={{{channel.name}_provider_key}}"


def list_provider_key_files() -> Lines:
    """List the files of these keys."""
    for channel, _ in DEPLOYED:
        yield f"- {{ key: {channel.name}_provider_key, path: {channel.name}_provider_key }}"


def write_settings() -> Lines:
    """Write the senders' settings."""
    for channel, deployment in DEPLOYED:
        yield f"- name: {channel.service}"
        yield "  literals:"
        yield "    - IMSG_ERASURE_KEY={erasure_key}"
        yield "    - IMSG_PROVIDER_KEY={provider_key}"
        if channel.sender:
            yield "    - IMSG_PUBLIC_URL=https://imsg.example.com"
        if channel.calls_history:
            yield "    - IMSG_SERVICE_KEY={service_key}"
            yield "    - IMSG_HISTORY_URL=http://history:8000"
        if deployment.calls_auth:
            yield "    - IMSG_AUTH_URL=http://auth:8000"
        if deployment.has_tables:
            login = f"{channel.package}:{{db_password}}"
            yield f"    - IMSG_DATABASE_URL=postgresql://{login}@postgres:5432/imsg"
        if deployment.is_called_by_gateway:
            yield "    - IMSG_PEER_KEYS__GATEWAY={gateway_key}"
        for literal in deployment.literals:
            name, _, value = literal.partition("=")
            yield f"    - {variable(channel.name, name)}={value}"


def _write_selector(*services: str) -> str:
    return f"- {{ key: app.kubernetes.io/name, operator: In, values: [{', '.join(services)}] }}"


def select_for_ingress() -> Lines:
    """Yield the selector of the services that the ingress controller may reach."""
    yield _write_selector("gateway", "catalog", *HOOKED, "console")


def select_for_stores() -> Lines:
    """Yield the selector of the services that use the stores."""
    yield _write_selector("gateway", "auth", "history", "callbacks", "catalog", "scheduler", *SENDERS)


def select_for_history() -> Lines:
    """Yield the selector of the services that call history."""
    yield _write_selector("gateway", "catalog", "scheduler", *READING)


def select_asked_by_gateway() -> Lines:
    """Yield the selector of the senders that the gateway calls."""
    yield _write_selector(*ASKED)


def select_called() -> Lines:
    """Yield the selector of the services that others call."""
    yield _write_selector("gateway", "auth", "history", "callbacks", "catalog", "scheduler", *ASKED)


def select_callers() -> Lines:
    """Yield the selector of the services that call others."""
    yield _write_selector("gateway", "callbacks", "catalog", "scheduler", *READING, "console")


def write_egress() -> Lines:
    """Yield the policies of the Internet ports that each sender may reach."""
    for channel, deployment in DEPLOYED:
        yield "---"
        yield "apiVersion: networking.k8s.io/v1"
        yield "kind: NetworkPolicy"
        yield "metadata:"
        yield f"  name: {channel.service}-to-the-world"
        yield "spec:"
        yield "  podSelector:"
        yield f"    matchLabels: {{ app.kubernetes.io/name: {channel.service} }}"
        yield "  policyTypes: [Egress]"
        yield "  egress:"
        yield "    - ports:"
        yield from (f"        - {{ protocol: TCP, port: {port} }}" for port in deployment.ports)


def write_hooks() -> Lines:
    """Yield the routes of the providers' callbacks."""
    for channel, _ in DEPLOYED:
        if channel.has_hooks:
            backend = f"{{ service: {{ name: {channel.service}, port: {{ name: http }} }} }}"
            yield f"- {{ path: /hooks/{channel.name}, pathType: Prefix, backend: {backend} }}"


def write_scalers() -> Lines:
    """Write a scaler for each sender."""
    shape = Template((ROOT / "tests/src/imsg_testing/generated/scaler.yaml").read_text(encoding="utf-8"))
    for service in SENDERS:
        yield from shape.substitute(service=service).splitlines()


def write_sender(channel: ChannelSpec, deployment: Deployment) -> str:
    """Write a sender's Deployment, its Service where it is called back, and its PodDisruptionBudget."""
    shape = Template((ROOT / "tests/src/imsg_testing/generated/sender.yaml").read_text(encoding="utf-8"))
    service = Template((ROOT / "tests/src/imsg_testing/generated/service.yaml").read_text(encoding="utf-8"))
    secrets = [
        f"{{ key: {channel.name}_provider_key, path: provider_key }}",
        *([f"{{ key: {name_file(channel.service)}_key, path: service_key }}"] * channel.calls_history),
        *(["{ key: gateway_key, path: gateway_key }"] * deployment.is_called_by_gateway),
        *([f"{{ key: {channel.name}_db_password, path: db_password }}"] * deployment.has_tables),
        *(
            f"{{ key: {fromkey}, path: {fromkey} }}"
            for fromkey in dict.fromkeys(_SECRET.findall(" ".join(deployment.literals)))
        ),
    ]
    return shape.substitute(
        title=channel.titles.en,
        called="and where its provider calls back" if channel.has_hooks else "which nobody calls, so it has no Service",
        service=channel.service,
        file=name_file(channel.service),
        requested=f"{deployment.requested_mib}Mi",
        memory=write_memory(deployment, "Gi", "Mi"),
        why=f" # {deployment.memory_why}" if deployment.memory_why else "",
        secrets="".join(f"\n                    - {secret}" for secret in secrets),
        called_back=service.substitute(service=channel.service) if channel.has_hooks else "",
    )


def write_rules() -> str:
    """Write the alerts as the Prometheus Operator reads them."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/imsg.rules.yml").read_text(encoding="utf-8"))
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "imsg", "labels": {"app.kubernetes.io/part-of": "imsg"}},
        "spec": rules,
    }
    head = "# The alerts of deploy/prometheus/imsg.rules.yml. Written by make generate.\n"
    return head + str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1_000))


BLOCKS: Mapping[str, Mapping[str, Callable[[], Lines]]] = {
    "deploy/kubernetes/base/kustomization.yaml": {
        "resources": list_resources,
        "images": list_images,
        "peers": list_peers,
        "provider-keys": list_provider_keys,
        "settings": write_settings,
    },
    "deploy/kubernetes/parted/kustomization.yaml": {"images": lambda: write_image("catalog")},
    "deploy/kubernetes/before/kustomization.yaml": {"images": lambda: write_image("cli")},
    "deploy/kubernetes/example/before/kustomization.yaml": {"images": lambda: write_image("cli", REGISTRY)},
    "deploy/kubernetes/base/history.yaml": {"peers": list_peer_files},
    "deploy/kubernetes/base/auth.yaml": {"provider-keys": list_provider_key_files},
    "deploy/kubernetes/base/network.yaml": {
        "outside": select_for_ingress,
        "stores": select_for_stores,
        "history": select_for_history,
        "asked": select_asked_by_gateway,
        "callers": select_callers,
        "called": select_called,
        "world": write_egress,
    },
    "deploy/kubernetes/base/ingress.yaml": {"hooks": write_hooks},
    "deploy/kubernetes/autoscaling/scalers.yaml": {"senders": write_scalers},
    "deploy/kubernetes/example/kustomization.yaml": {"images": list_images_of_registry},
}
"""File → its blocks, and what writes them."""

WHOLE: Mapping[str, Callable[[], str]] = {
    "deploy/kubernetes/monitoring/rules.yaml": write_rules,
    **{
        f"deploy/kubernetes/base/{channel.service}.yaml": lambda pair=(channel, deployment): write_sender(*pair)  # type: ignore[misc]
        for channel, deployment in DEPLOYED
    },
}
"""File → what writes it."""
