"""Write the files that follow from channels, services and settings: `make generate`.

A block stands in its file between `made by make generate: NAME` and `made so far`; a few files are made as a whole.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

import unasync
import yaml

from imsg import rights
from imsg.secrets import TABLE_OWNERS
from imsg.stand_ins import flatten
from imsg_channels import CHANNELS
from imsg_channels.deployment import Deployment
from imsg_channels.spec import ChannelSpec
from imsg_channels.stand_in import At
from imsg_contract.version import VERSION
from imsg_runtime.settings import CALLERS, variable
from imsg_testing import dashboard, openapi, settings_pages

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "clients/python/src/imsg_client"

BEGIN, END = "made by make generate: ", "made so far"

Lines = Iterator[str]

_SECRET = re.compile(r"\{(\w+)\}")

DEPLOYED: tuple[tuple[ChannelSpec, Deployment], ...] = tuple(
    (channel, channel.deployment) for channel in CHANNELS if channel.deployment is not None
)
SENDERS = [channel.service for channel, _ in DEPLOYED]
IMAGES = ("gateway", "auth", "history", "callbacks", "catalog", *SENDERS, "console")
"""catalog's has scheduler too."""
HOOKED = [channel.service for channel, _ in DEPLOYED if channel.has_hooks]
ASKED = [channel.service for channel, deployment in DEPLOYED if deployment.is_called_by_gateway]
READING = [channel.service for channel, _ in DEPLOYED if channel.calls_history]


REGISTRY = "registry.example.com"
"""Of Kubernetes' example."""

ASKING_HISTORY = tuple(caller for caller in CALLERS if caller != "callbacks")


def _file(service: str) -> str:
    return service.replace("-", "_")


def _memory(deployment: Deployment, gib: str, mib: str) -> str:
    whole, rest = divmod(deployment.memory_mib, 1024)
    return f"{deployment.memory_mib}{mib}" if rest else f"{whole}{gib}"


def compose_peers() -> Lines:
    """List the keys by which history knows who asks it."""
    for caller in ASKING_HISTORY:
        yield f'{variable("peer_keys", _file(caller))}: "{{{_file(caller)}_key}}"'


def compose_provider_keys() -> Lines:
    """List the keys by which senders read their accounts."""
    for channel, _ in DEPLOYED:
        yield f'{variable("provider_keys", channel.name)}: "{{{channel.name}_provider_key}}"'


def compose_senders() -> Lines:
    """Write the senders' containers."""
    for channel, deployment in DEPLOYED:
        package = channel.package
        yield f"{channel.service}:"
        yield "  <<: *service"
        yield f"  image: imsg-{channel.service}"
        yield f"  build: {{ <<: *build, args: {{ PACKAGE: {package.replace('_', '-')}, MODULE: {package} }} }}"
        if deployment.memory_why:
            yield f"  mem_limit: {_memory(deployment, 'g', 'm')} # {deployment.memory_why}"
        yield "  environment:"
        yield "    <<: *settings"
        yield '    IMSG_ERASURE_KEY: "{erasure_key}"'
        yield '    IMSG_PROVIDER_KEY: "{provider_key}"'
        if channel.has_hooks or channel.sender:
            yield "    IMSG_PUBLIC_URL:"
        if channel.calls_history:
            yield '    IMSG_SERVICE_KEY: "{service_key}"'
            yield "    IMSG_HISTORY_URL: http://history:8000"
        if deployment.calls_auth:
            yield "    IMSG_AUTH_URL: http://auth:8000"
        if deployment.has_tables:
            yield f"    IMSG_DATABASE_URL: postgresql://{package}:{{db_password}}@postgres:5432/imsg"
        if deployment.is_called_by_gateway:
            yield '    IMSG_PEER_KEYS__GATEWAY: "{gateway_key}"'
        yield from (f"    {variable(channel.name, name)}:" for name in deployment.settings)
        yield f'  volumes: ["secrets-{channel.service}:/run/imsg:ro"]'
        tables = ["tables"] * (deployment.has_tables or deployment.calls_auth)
        yield f"  networks: [{', '.join(('outside', 'sending', *tables))}]"
        yield "  depends_on: *after"
        yield ""


def compose_sandbox() -> Lines:
    """Say where the sandbox calls back."""
    for channel, deployment in DEPLOYED:
        if channel.has_hooks and deployment.secrets:  # the sandbox's mail server brings nothing back
            yield f"{variable('sandbox', f'{channel.name}_hooks')}: http://{channel.service}:8000"


def caddy_hooks() -> Lines:
    """Say where providers call back."""
    for channel, _ in DEPLOYED:
        if channel.has_hooks:
            yield f"@{channel.name} path /hooks/{channel.name} /hooks/{channel.name}/*"
            yield f"handle @{channel.name} {{"
            yield f"\tvars service {channel.service}"
            yield "\timport replicas"
            yield "}"
            yield ""


def caddy_doors() -> Lines:
    """Name the sandbox's doors for providers' SDKs, which are for the senders, inside."""
    doors = [
        value.path.rstrip("/")
        for channel in CHANNELS
        if channel.stand_in is not None
        for value in flatten(channel.stand_in.settings).values()
        if isinstance(value, At)
    ]
    yield f"not path {' '.join(f'{door} {door}/*' for door in sorted(doors))}"


def secrets_made() -> Lines:
    """Name the secrets that go to a container as a group, and those that only the sandbox and its callers have."""
    yield f"provider_keys='{' '.join(f'{channel.name}_provider_key' for channel, _ in DEPLOYED)}'"
    yield f"databases='{' '.join(f'{owner}_db_password' for owner in TABLE_OWNERS)}'"
    yield f"played='{' '.join(secret for _, deployment in DEPLOYED for secret in deployment.secrets)}'"


def secrets_handed() -> Lines:
    """Say who may see which secret."""
    callers = " ".join(f"{_file(caller)}_key" for caller in ASKING_HISTORY)
    yield f"hand_service history {callers} erasure_key db_password=history_db_password"
    yield "hand_service catalog gateway_key erasure_key db_password=catalog_db_password"
    yield "hand_service scheduler service_key=scheduler_key gateway_key erasure_key db_password=scheduler_db_password"
    for channel, deployment in DEPLOYED:
        own = [f"service_key={_file(channel.service)}_key"] * channel.calls_history
        tables = [f"db_password={channel.name}_db_password"] * deployment.has_tables
        asked = ["gateway_key"] * deployment.is_called_by_gateway
        keys = ("erasure_key", f"provider_key={channel.name}_provider_key")
        yield " ".join(("hand_service", channel.service, *own, *asked, *keys, *tables, *deployment.secrets))


def write_rotated() -> Lines:
    """Name the keys that are changed together, and who has to hear of it."""
    yield f'secrets="{" ".join(f"{_file(caller)}_key" for caller in CALLERS)}" # each caller\'s own'
    yield f'services="history auth callbacks catalog scheduler gateway {" ".join(READING)}"'


def kubernetes_resources() -> Lines:
    """List the senders' files."""
    yield from (f"- {service}.yaml" for service in SENDERS)


def kubernetes_images() -> Lines:
    """List the images with this version."""
    for service in IMAGES:
        yield from kubernetes_image(service)


def kubernetes_image(service: str, registry: str = "") -> Lines:
    """Write one image with this version."""
    renamed = f"newName: {registry}/imsg-{service}, " if registry else ""
    yield f"- {{ name: imsg-{service}, {renamed}newTag: {VERSION} }}"


def kubernetes_registry() -> Lines:
    """List the images in a registry of yours."""
    for service in IMAGES:
        yield from kubernetes_image(service, REGISTRY)


def write_version() -> Lines:
    """Write the version as pyproject.toml has it."""
    yield f'version = "{VERSION}"'


def kubernetes_peers() -> Lines:
    """List the keys by which history knows who asks it."""
    yield from (f"- {variable('peer_keys', _file(caller))}={{{_file(caller)}_key}}" for caller in ASKING_HISTORY)


def kubernetes_peer_files() -> Lines:
    """List the files of these keys."""
    yield from (f"- {{ key: {_file(caller)}_key, path: {_file(caller)}_key }}" for caller in ASKING_HISTORY)


def kubernetes_provider_keys() -> Lines:
    """List the keys by which senders read their accounts."""
    for channel, _ in DEPLOYED:
        yield f"- {variable('provider_keys', channel.name)}={{{channel.name}_provider_key}}"


def kubernetes_provider_key_files() -> Lines:
    """List the files of these keys."""
    for channel, _ in DEPLOYED:
        yield f"- {{ key: {channel.name}_provider_key, path: {channel.name}_provider_key }}"


def kubernetes_settings() -> Lines:
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


def network_outside() -> Lines:
    """Say whom the ingress controller may reach."""
    yield _write_selector("gateway", "catalog", *HOOKED, "console")


def network_stores() -> Lines:
    """Say who uses the stores."""
    yield _write_selector("gateway", "auth", "history", "callbacks", "catalog", "scheduler", *SENDERS)


def network_history() -> Lines:
    """Say who asks history."""
    yield _write_selector("gateway", "catalog", "scheduler", *READING)


def network_asked() -> Lines:
    """Say which senders the gateway asks."""
    yield _write_selector(*ASKED)


def network_called() -> Lines:
    """Say who is asked by other services."""
    yield _write_selector("gateway", "auth", "history", "callbacks", "catalog", "scheduler", *ASKED)


def network_callers() -> Lines:
    """Say who asks any service."""
    yield _write_selector("gateway", "callbacks", "catalog", "scheduler", *READING, "console")


def network_world() -> Lines:
    """Say which ports of the world each sender reaches."""
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


def ingress_hooks() -> Lines:
    """Say where providers call back."""
    for channel, _ in DEPLOYED:
        if channel.has_hooks:
            backend = f"{{ service: {{ name: {channel.service}, port: {{ name: http }} }} }}"
            yield f"- {{ path: /hooks/{channel.name}, pathType: Prefix, backend: {backend} }}"


def scalers() -> Lines:
    """Write a scaler for each sender."""
    shape = Template((ROOT / "tests/src/imsg_testing/generated/scaler.yaml").read_text(encoding="utf-8"))
    for service in SENDERS:
        yield from shape.substitute(service=service).splitlines()


def prometheus_names() -> Lines:
    """List the services that are asked for their metrics."""
    own = ("gateway", "auth", "history", "callbacks", "catalog", "scheduler", "console")
    yield f"- names: [{', '.join((*own, *SENDERS))}]"


def rabbitmq_rights(headings: str = "user | configures | writes | reads | keys it publishes under | tag") -> Lines:
    """Write the users at RabbitMQ and their rights in one table."""
    yield ""
    yield f"| {headings} |"
    yield "|---|---|---|---|---|---|"
    for service, account in rights.AT_RABBIT.items():
        patterns = (account.configure, account.write, account.read, account.topics)
        shown = ("–" if pattern == "^$" else f"`{pattern}`".replace("|", "\\|") for pattern in patterns)
        tags = ", ".join(f"`{tag}`" for tag in account.tags) or "–"
        yield f"| `{rights.PREFIX}{service}` | {' | '.join(shown)} | {tags} |"
    yield ""


def channel_table() -> Lines:
    """Write the channels in one table."""
    yield ""
    yield "| method | channel | to | lives | receipts | with |"
    yield "|---|---|---|---|---|---|"
    for channel in CHANNELS:
        hours = round(channel.lifetime.total_seconds() / 3600)
        has = {
            "attachments": channel.has_attachments,
            "official accounts": channel.has_accounts,
            "templates": channel.has_templates,
            "segments": channel.segments is not None,
            "hooks": channel.has_hooks,
        }
        receipts = ", ".join(sorted(channel.receipts)) or "–"
        names = ", ".join(name for name, is_so in has.items() if is_so) or "–"
        to = f"{channel.address.label.en}{f', `{channel.contact}` of a user' if channel.contact else ''}"
        title = f"{channel.titles.en} · {channel.titles.zh}"
        yield f"| `{channel.name}` | {title} | {to} | {hours} h | {receipts} | {names} |"
    yield ""


def kubernetes_sender(channel: ChannelSpec, deployment: Deployment) -> str:
    """Write a sender's Deployment, its Service where it is called back, and its PodDisruptionBudget."""
    shape = Template((ROOT / "tests/src/imsg_testing/generated/sender.yaml").read_text(encoding="utf-8"))
    service = Template((ROOT / "tests/src/imsg_testing/generated/service.yaml").read_text(encoding="utf-8"))
    secrets = [
        f"{{ key: {channel.name}_provider_key, path: provider_key }}",
        *([f"{{ key: {_file(channel.service)}_key, path: service_key }}"] * channel.calls_history),
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
        file=_file(channel.service),
        requested=f"{deployment.requested_mib}Mi",
        memory=_memory(deployment, "Gi", "Mi"),
        why=f" # {deployment.memory_why}" if deployment.memory_why else "",
        secrets="".join(f"\n                    - {secret}" for secret in secrets),
        called_back=service.substitute(service=channel.service) if channel.has_hooks else "",
    )


def kubernetes_rules() -> str:
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
    "docker-compose.yml": {
        "peers": compose_peers,
        "provider-keys": compose_provider_keys,
        "senders": compose_senders,
        "sandbox": compose_sandbox,
        "handed": lambda: (f"- secrets-{service}:/run/imsg/{service}" for service in SENDERS),
        "volumes": lambda: (f"secrets-{service}:" for service in SENDERS),
    },
    "clients/python/pyproject.toml": {"version": write_version},
    "deploy/Caddyfile": {"hooks": caddy_hooks, "doors": caddy_doors},
    "deploy/hand-out-secrets": {"made": secrets_made, "handed": secrets_handed},
    "scripts/rotate": {"keys": write_rotated},
    "deploy/kubernetes/base/kustomization.yaml": {
        "resources": kubernetes_resources,
        "images": kubernetes_images,
        "peers": kubernetes_peers,
        "provider-keys": kubernetes_provider_keys,
        "settings": kubernetes_settings,
    },
    "deploy/kubernetes/parted/kustomization.yaml": {"images": lambda: kubernetes_image("catalog")},
    "deploy/kubernetes/before/kustomization.yaml": {"images": lambda: kubernetes_image("cli")},
    "deploy/kubernetes/example/before/kustomization.yaml": {"images": lambda: kubernetes_image("cli", REGISTRY)},
    "deploy/kubernetes/base/history.yaml": {"peers": kubernetes_peer_files},
    "deploy/kubernetes/base/auth.yaml": {"provider-keys": kubernetes_provider_key_files},
    "deploy/kubernetes/base/network.yaml": {
        "outside": network_outside,
        "stores": network_stores,
        "history": network_history,
        "asked": network_asked,
        "callers": network_callers,
        "called": network_called,
        "world": network_world,
    },
    "deploy/kubernetes/base/ingress.yaml": {"hooks": ingress_hooks},
    "deploy/kubernetes/autoscaling/scalers.yaml": {"senders": scalers},
    "deploy/kubernetes/example/kustomization.yaml": {"images": kubernetes_registry},
    "deploy/prometheus/scrape.yml": {"names": prometheus_names},
    "docs/architecture.md": {"channels": channel_table},
    "docs/rabbitmq.md": {"rights": rabbitmq_rights},
    "docs/rabbitmq.zh.md": {"rights": partial(rabbitmq_rights, "用户 | 声明 | 写 | 读 | 可用的路由键 | 标签")},
}
"""File → its blocks, and what writes them."""


def synchronous_client() -> str:
    """Write the clients' synchronous library from the asynchronous one."""
    words = {"AsyncClient": "Client", "AsyncBaseTransport": "BaseTransport", "_async": "_sync", "aclose": "close"}
    rule = unasync.Rule("/_async/", "/_sync/", additional_replacements=words)
    with TemporaryDirectory() as folder:
        source, written = (Path(folder, kind, "client.py") for kind in ("_async", "_sync"))
        source.parent.mkdir()
        source.write_text((CLIENT / "_async/client.py").read_text(encoding="utf-8"), encoding="utf-8")
        unasync.unasync_files([str(source)], [rule])
        return written.read_text(encoding="utf-8")


WHOLE: Mapping[str, Callable[[], str]] = {
    "clients/python/src/imsg_client/_sync/client.py": synchronous_client,
    "deploy/grafana/imsg.json": dashboard.write,
    "deploy/kubernetes/monitoring/rules.yaml": kubernetes_rules,
    "docs/settings.md": lambda: settings_pages.write("en"),
    "docs/settings.zh.md": lambda: settings_pages.write("zh"),
    **{
        f"deploy/kubernetes/base/{channel.service}.yaml": lambda pair=(channel, deployment): kubernetes_sender(*pair)  # type: ignore[misc]
        for channel, deployment in DEPLOYED
    },
}
"""File → what writes it."""


def fill(text: str, blocks: Mapping[str, Callable[[], Lines]]) -> str:
    """Write a file's blocks anew. Raises ValueError where one is missing or does not end."""
    done: set[str] = set()
    written: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        written.append(line)
        if BEGIN not in line:
            continue
        name = line.partition(BEGIN)[2].split()[0]
        indent = line[: len(line) - len(line.lstrip())]
        made = list(blocks[name]())
        while made and not made[-1] and "<!--" not in line:
            made.pop()
        written += [f"{indent}{generated}" if generated else "" for generated in made]
        written.append(next(end for end in lines if END in end))
        done.add(name)
    if missing := set(blocks) - done:
        raise ValueError(f"no block for {', '.join(sorted(missing))}")
    return "\n".join(written) + "\n"


def generate() -> Iterator[tuple[Path, str]]:
    """Yield each file with its text as it should be."""
    for name, blocks in BLOCKS.items():
        yield ROOT / name, fill((ROOT / name).read_text(encoding="utf-8"), blocks)
    for name, write in WHOLE.items():
        yield ROOT / name, write()


def main() -> int:
    """Write every file anew, the OpenAPI document last."""
    for path, text in generate():
        path.write_text(text, encoding="utf-8")
    return openapi.main()


if __name__ == "__main__":
    sys.exit(main())
