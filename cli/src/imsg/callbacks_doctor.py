"""What `imsg doctor` says of callbacks: where they may go, and whether the key of their secrets is there."""

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

WHAT = "callbacks"

METADATA = tuple(ipaddress.ip_network(one) for one in ("169.254.169.254/32", "100.100.100.200/32", "fd00:ec2::254/128"))
"""Where clouds tell a machine its credentials, by whoever asks."""


async def examine(asked: Settings) -> list[Finding]:
    """Look at where callbacks may go and at the key; nothing is made. Raises StartError for a wrong setting."""
    keys = asked.secret_key or _read_kept(asked.data_dir)
    file = asked.data_dir / "callbacks.db"
    url = asked.database_url or f"sqlite:///{file}"
    settings = load(imsg_callbacks.main.Settings, database_url=url, secret_key=keys)
    require_strong(settings, "secret_key", keys=keys)
    allow = tell_allow(settings.callbacks.allow)
    if not asked.database_url and not file.exists():
        return [allow]
    return [allow, *await _try_key(settings)]


def tell_allow(allow: Sequence[str]) -> Finding:
    """Say where callbacks may go, and what nobody should open."""
    if not allow:
        return Finding(WHAT, "may go to the internet, ports 80 and 443; to no network of yours")
    networks = [ipaddress.ip_network(one, strict=False) for one in allow]
    names = ", ".join(allow)
    if any(network.prefixlen == 0 for network in networks):
        remedy = f"Name the networks of the receivers in {variable('callbacks', 'allow')}, and no others."
        return Finding(WHAT, f"may go everywhere ({names}): users reach this machine and all around it", remedy)
    for network in networks:
        for one in METADATA:
            if network.version == one.version and network.overlaps(one):
                told = one.network_address
                remedy = f"Name smaller networks in {variable('callbacks', 'allow')}, without {told}."
                return Finding(WHAT, f"may go to {network}: at {told} a cloud tells its credentials", remedy)
    return Finding(WHAT, f"may go to the internet, ports 80 and 443, and to {names}, any port")


async def _try_key(settings: imsg_callbacks.main.Settings) -> list[Finding]:
    """Open what endpoints' secrets stand under; nothing is said where there are none, or the database is silent."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            count = await imsg_callbacks.main.count_unreadable(settings)
    except (imsg_callbacks.main.DatabaseUnavailable, TimeoutError):
        return []
    if not count:
        return []
    name = variable("secret_key")
    state = f"secrets of {count} can't be read: {name} " + (
        "lacks the key that they stand under" if settings.secret_key else "is not set"
    )
    remedy = (
        f"Put that key behind the present one in {name}, with a comma between (a copy has it as secrets/secret_key); "
        "where it is lost, remove these callbacks and make them anew."
    )
    return [Finding(WHAT, state, remedy)]


def _read_kept(folder: Path) -> Keys:
    """Read the key that `imsg up` has made; empty where it has not yet."""
    try:
        kept = (folder / SECRETS / "secret_key").read_text(encoding="utf-8").strip()
    except OSError:
        return ()
    return (SecretStr(kept),) if kept else ()
