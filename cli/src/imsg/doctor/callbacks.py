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
from imsg_runtime.lines import fill
from imsg_runtime.settings import Keys, load, variable

PART = "callbacks"


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
        remedy = fill("Name the networks of the receivers in {0}, and no others.", setting)
        return Finding(PART, fill("may go everywhere ({0}): users reach this machine and all around it", names), remedy)
    return Finding(PART, fill("may go to the internet, ports 80 and 443, and to {0}, any port", names))


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
    remedy = fill(
        "Put that key behind the present one in {0}, with a comma between (a backup has it as "
        "secrets/secret_key); where it is lost, remove these callbacks and make them anew.",
        name,
    )
    if settings.secret_key:
        state = fill("secrets of {0} can't be read: {1} lacks the key that encrypted them", count, name)
    else:
        state = fill("secrets of {0} can't be read: {1} is not set", count, name)
    return [Finding(PART, state, remedy)]


def _read_key(folder: Path) -> Keys:
    """Read the key that `imsg up` has made; return nothing before the first start."""
    try:
        key = (folder / SECRETS / "secret_key").read_text(encoding="utf-8").strip()
    except OSError:
        return ()
    return (SecretStr(key),) if key else ()
