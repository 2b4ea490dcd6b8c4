"""The accounts of the services at Redis and RabbitMQ, and their keys, as the containers have them."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from imsg import rights, store_users
from imsg_channels import CHANNELS
from imsg_runtime.settings import CALLERS

SERVICES: Mapping[str, str] = {
    "imsg_gateway": "gateway",
    "imsg_auth": "auth",
    "imsg_history": "history",
    "imsg_callbacks": "callbacks",
    "imsg_catalog": "catalog",
    "imsg_scheduler": "scheduler",
    **{channel.package: channel.service for channel in CHANNELS},
}
"""Package → the service's name."""

SERVERS = ("redis", "rabbit")


class ServiceAccounts:
    """The users, their passwords and the keys of one run."""

    def __init__(self, folder: Path) -> None:
        """Create the passwords, one file each, in `folder`."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for service in rights.SERVICES:
            for server in SERVERS:
                (folder / f"{service.replace('-', '_')}_{server}_password").write_text(secrets.token_hex(12))
        (folder / "redis_password").write_text(secrets.token_hex(12))
        self._keys = {caller: secrets.token_hex(32) for caller in CALLERS}

    async def create_at_redis(self, url: str) -> None:
        """Create the users at a server, as its ACL file would. The default user stays for the tests."""
        await store_users.give_at_redis(url, rights.acl(self._folder))

    def create_at_rabbit(self, url: str) -> None:
        """Create the users at a node, as `import_definitions` would. The user guest stays for the tests."""
        store_users.import_definitions(url, rights.definitions(self._folder))

    def redis_url(self, package: str, url: str) -> str:
        """Return where a server is for a service."""
        return url.replace("redis://", f"redis://{self._login(package, 'redis')}@", 1)

    def rabbit_url(self, package: str, url: str) -> str:
        """Return where a node is for a service."""
        return url.replace("guest:guest", self._login(package, "rabbit"), 1)

    def keys(self, package: str) -> dict[str, str]:
        """Return a service's own key, and those of its callers."""
        own = {"IMSG_SERVICE_KEY": self._keys[SERVICES[package]]} if SERVICES[package] in CALLERS else {}
        called = {f"IMSG_PEER_KEYS__{name.replace('-', '_').upper()}": key for name, key in self._keys.items()}
        return own | (
            called
            if package in ("imsg_auth", "imsg_history", "imsg_callbacks", "imsg_catalog", "imsg_scheduler")
            else {}
        )

    def _login(self, package: str, server: str) -> str:
        service = SERVICES[package]
        return f"{rights.PREFIX}{service}:{rights.password(self._folder, service, server)}"
