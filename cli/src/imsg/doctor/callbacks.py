"""The callbacks part of `imsg doctor`: which networks callbacks may reach, and whether their secrets can be read."""

import asyncio
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

import imsg_callbacks.main
from imsg.all_in_one import SECRETS, Settings
from imsg.findings import TIMEOUT_S, Finding
from imsg_runtime.key_strength import require_strong
from imsg_runtime.settings import Keys, load, variable

PART = "callbacks"

METADATA_SERVERS = tuple(
    ipaddress.ip_network(network) for network in ("169.254.169.254/32", "100.100.100.200/32", "fd00:ec2::254/128")
)
"""The address at which clouds give a machine its credentials."""


async def examine(settings: Settings) -> list[Finding]:
    """Check the networks and the key; make nothing. Raises StartError for a wrong setting."""
    keys = settings.secret_key or _read_key(settings.data_dir)
    file = settings.data_dir / "callbacks.db"
    url = settings.database_url or f"sqlite:///{file}"
    loaded = load(imsg_callbacks.main.Settings, database_url=url, secret_key=keys)
    require_strong(loaded, "secret_key", keys=keys)
    networks = check_networks(loaded.callbacks.allow)
    if not settings.database_url and not file.exists():
        return [networks]
    return [networks, *await _check_key(loaded)]


def check_networks(allow: Sequence[str]) -> Finding:
    """Return which networks callbacks may reach; one that no receiver is in needs a remedy."""
    if not allow:
        return Finding(PART, "may go to the internet, ports 80 and 443; to no network of yours")
    networks = [ipaddress.ip_network(network, strict=False) for network in allow]
    names, setting = ", ".join(allow), variable("callbacks", "allow")
    if any(network.prefixlen == 0 for network in networks):
        remedy = f"Name the networks of the receivers in {setting}, and no others."
        return Finding(PART, f"may go everywhere ({names}): users reach this machine and all around it", remedy)
    for network in networks:
        for server in METADATA_SERVERS:
            if network.version == server.version and network.overlaps(server):
                address = server.network_address
                remedy = f"Name smaller networks in {setting}, without {address}."
                return Finding(PART, f"may go to {network}: at {address} a cloud gives out its credentials", remedy)
    return Finding(PART, f"may go to the internet, ports 80 and 443, and to {names}, any port")


async def _check_key(settings: imsg_callbacks.main.Settings) -> list[Finding]:
    """Decrypt the endpoints' secrets; return nothing where all can be read, or the database does not answer."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            count = await imsg_callbacks.main.count_unreadable(settings)
    except (imsg_callbacks.main.DatabaseUnavailable, TimeoutError):
        return []
    if not count:
        return []
    name = variable("secret_key")
    remedy = (
        f"Put that key behind the present one in {name}, with a comma between (a backup has it as secrets/secret_key); "
        "where it is lost, remove these callbacks and make them anew."
    )
    if settings.secret_key:
        state = f"secrets of {count} can't be read: {name} lacks the key that encrypted them"
    else:
        state = f"secrets of {count} can't be read: {name} is not set"
    return [Finding(PART, state, remedy)]


def _read_key(folder: Path) -> Keys:
    """Read the key that `imsg up` has made; return nothing before the first start."""
    try:
        key = (folder / SECRETS / "secret_key").read_text(encoding="utf-8").strip()
    except OSError:
        return ()
    return (SecretStr(key),) if key else ()
