"""Blocks in the files of the containers: the senders of Compose, what Caddy passes on, and who has which secret."""

from collections.abc import Callable, Mapping

from imsg.secrets import TABLE_OWNERS
from imsg.stand_ins import flatten
from imsg_channels import CHANNELS
from imsg_channels.stand_in import At
from imsg_runtime.settings import CALLERS, variable
from imsg_testing.deployed import ASKING_HISTORY, DEPLOYED, READING, SENDERS, Lines, name_file, write_memory


def list_peers() -> Lines:
    """Yield the keys of history's callers."""
    for caller in ASKING_HISTORY:
        yield f'{variable("peer_keys", name_file(caller))}: "{{{name_file(caller)}_key}}"'


def list_provider_keys() -> Lines:
    """List the keys by which senders read their accounts."""
    for channel, _ in DEPLOYED:
        yield f'{variable("provider_keys", channel.name)}: "{{{channel.name}_provider_key}}"'


def write_senders() -> Lines:
    """Write the senders' containers."""
    for channel, deployment in DEPLOYED:
        package = channel.package
        yield f"{channel.service}:"
        yield "  <<: *service"
        yield f"  image: imsg-{channel.service}"
        yield f"  build: {{ <<: *build, args: {{ PACKAGE: {package.replace('_', '-')}, MODULE: {package} }} }}"
        if deployment.memory_why:
            yield f"  mem_limit: {write_memory(deployment, 'g', 'm')} # {deployment.memory_why}"
        yield "  environment:"
        yield "    <<: *settings"
        yield '    IMSG_ERASURE_KEY: "{erasure_key}"'
        yield '    IMSG_PROVIDER_KEY: "{provider_key}"'
        yield "    IMSG_PROVIDER_NETWORKS:"
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


def list_hooks_of_sandbox() -> Lines:
    """Yield the URLs that the sandbox calls back."""
    for channel, deployment in DEPLOYED:
        if channel.has_hooks and deployment.secrets:  # the sandbox's mail server brings nothing back
            yield f"{variable('sandbox', f'{channel.name}_hooks')}: http://{channel.service}:8000"


def write_hooks() -> Lines:
    """Yield the routes of the providers' callbacks."""
    for channel, _ in DEPLOYED:
        if channel.has_hooks:
            yield f"@{channel.name} path /hooks/{channel.name} /hooks/{channel.name}/*"
            yield f"handle @{channel.name} {{"
            yield f"\tvars service {channel.service}"
            yield "\timport replicas"
            yield "}"
            yield ""


def write_doors() -> Lines:
    """Yield a matcher without the sandbox's paths for providers' SDKs, which are for the senders alone."""
    doors = [
        value.path.rstrip("/")
        for channel in CHANNELS
        if channel.stand_in is not None
        for value in flatten(channel.stand_in.settings).values()
        if isinstance(value, At)
    ]
    yield f"not path {' '.join(f'{door} {door}/*' for door in sorted(doors))}"


def list_secrets() -> Lines:
    """Yield the secrets that containers get as groups, and those of the sandbox and its callers alone."""
    yield f"provider_keys='{' '.join(f'{channel.name}_provider_key' for channel, _ in DEPLOYED)}'"
    yield f"databases='{' '.join(f'{owner}_db_password' for owner in TABLE_OWNERS)}'"
    yield f"played='{' '.join(secret for _, deployment in DEPLOYED for secret in deployment.secrets)}'"


def hand_out_secrets() -> Lines:
    """Yield the commands that give each service its secrets."""
    callers = " ".join(f"{name_file(caller)}_key" for caller in ASKING_HISTORY)
    yield f"hand_service history {callers} erasure_key db_password=history_db_password"
    yield "hand_service catalog gateway_key erasure_key db_password=catalog_db_password"
    yield "hand_service scheduler service_key=scheduler_key gateway_key erasure_key db_password=scheduler_db_password"
    for channel, deployment in DEPLOYED:
        own = [f"service_key={name_file(channel.service)}_key"] * channel.calls_history
        tables = [f"db_password={channel.name}_db_password"] * deployment.has_tables
        asked = ["gateway_key"] * deployment.is_called_by_gateway
        keys = ("erasure_key", f"provider_key={channel.name}_provider_key")
        yield " ".join(("hand_service", channel.service, *own, *asked, *keys, *tables, *deployment.secrets))


def list_rotated() -> Lines:
    """Yield the keys that are rotated together, and the services to restart."""
    yield f'secrets="{" ".join(f"{name_file(caller)}_key" for caller in CALLERS)}" # each caller\'s own'
    yield f'services="history auth callbacks catalog scheduler gateway {" ".join(READING)}"'


BLOCKS: Mapping[str, Mapping[str, Callable[[], Lines]]] = {
    "docker-compose.yml": {
        "peers": list_peers,
        "provider-keys": list_provider_keys,
        "senders": write_senders,
        "sandbox": list_hooks_of_sandbox,
        "handed": lambda: (f"- secrets-{service}:/run/imsg/{service}" for service in SENDERS),
        "volumes": lambda: (f"secrets-{service}:" for service in SENDERS),
    },
    "deploy/Caddyfile": {"hooks": write_hooks, "doors": write_doors},
    "deploy/hand-out-secrets": {"made": list_secrets, "handed": hand_out_secrets},
    "scripts/rotate": {"keys": list_rotated},
}
"""File → its blocks, and what writes them."""
