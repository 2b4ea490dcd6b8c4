"""All services in one process (`imsg up`): which there are, their settings, and the order in which they open."""

import hmac
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import time
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretStr

import imsg_auth.main
import imsg_callbacks.main
import imsg_catalog.main
import imsg_console.main
import imsg_gateway.main
import imsg_history.main
import imsg_sandbox.main
import imsg_scheduler.main
from imsg import secrets, stand_ins, tombstones
from imsg.location import LOOPBACK, local_url
from imsg.router import Router
from imsg_channels import CHANNELS
from imsg_channels.spec import ChannelSpec
from imsg_contract.findings import Finding
from imsg_runtime.settings import Common, Keys, RedisUrl, StartError, is_given, load, load_without, read_group
from imsg_web.callers import Apps
from imsg_web.service import Service

SECRETS = "secrets"
"""The folder of secrets inside the data folder."""


class SandboxSettings(BaseModel):
    """The settings of the sandbox that `imsg up` reads itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    smtp_port: int = 0
    """0: any free port; `imsg up` passes it on to the e-mail channel."""


class TlsSettings(BaseModel):
    """HTTPS beside the port: `host` and `port` of iMSG itself stay for this machine."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    certificate: Path | None = None
    """The file with the certificate and its chain (PEM). With it, `imsg up` serves HTTPS too, and reads the file again
    when it changes. It needs `public_url`."""
    key: Path | None = None
    """The file with the certificate's key (PEM), without a password. Unset: it is in the file of the certificate."""
    host: str = "0.0.0.0"
    """The address at which HTTPS is served."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 8443
    """The port at which HTTPS is served."""


class BackupSettings(BaseModel):
    """The backups that `imsg up` makes by itself."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    folder: Path | None = None
    """Where `imsg up` puts a copy of the data folder each day; best another disk. Unset: it makes none."""
    at: time = time(3, 0)
    """When the copy is made, in `timezone`. One that was missed is made at the next start."""
    keep: Annotated[int, Field(ge=1)] = 7
    """How many copies are kept; older ones are removed."""


class Settings(Common):
    """What `imsg up` reads; it makes or embeds what is not set. Services read the rest themselves."""

    broker_url: str = ""
    """Empty: the streams of `redis_url`."""
    redis_url: RedisUrl = ""
    """Empty: the embedded Valkey."""
    database_url: str = ""
    """The database; empty: SQLite in the data folder, one file for each owner. It may hold a password."""
    data_dir: Path = Path("data")
    """The data folder: the SQLite files, and under `imsg up` everything else."""
    disk_free_gib: Annotated[int, Field(ge=1)] = 2
    """The GiB that have to be free on the disk of the stores; with less, `imsg status` and the alert `ImsgDiskShort`
    report it. A rewrite of Valkey's log, and a merge of SQLite's, need as much as the files have."""
    backup_hours: Annotated[int, Field(ge=0)] = 26
    """How old, in hours, the newest backup of `make backup` may be. With an older one, or none where `public_url` is
    set, `imsg status` and the alert `ImsgBackupMissing` report it. 0: backups are made by other means."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    """The least level that is logged."""
    token_key: Keys = ()
    """Signs the tokens of users. The first key signs, all verify."""
    secret_key: Keys = ()
    """Encrypts the secrets that are kept: those of callback endpoints and of accounts at providers. The first key
    encrypts, all decrypt. Keep it with the backups."""
    sandbox: SandboxSettings = SandboxSettings()
    tls: TlsSettings = TlsSettings()
    backup: BackupSettings = BackupSettings()
    connections_per_address: Annotated[int, Field(ge=1)] = 1_000
    """How many connections one address (IPv6: one /64) may have open at once. Trusted proxies may have any number."""


class Main(Protocol):
    """The module `main` of a service."""

    Settings: type[Common]

    def app(self, settings: Any, apps: Apps) -> Service:  # noqa: ANN401  its own Settings
        """Make the service."""


def _import_main(channel: ChannelSpec) -> Main:
    module: Any = import_module(f"{channel.package}.main")
    main: Main = module
    return main


SENDERS: Mapping[str, Main] = {channel.name: _import_main(channel) for channel in CHANNELS}
"""Channel → the main of its sender."""

MODELS: tuple[type[Common], ...] = (
    Settings,
    imsg_gateway.main.Settings,
    imsg_auth.main.Settings,
    imsg_history.main.Settings,
    imsg_callbacks.main.Settings,
    imsg_catalog.main.Settings,
    imsg_scheduler.main.Settings,
    *(main.Settings for main in SENDERS.values()),
    imsg_sandbox.main.Settings,
    imsg_console.main.Settings,
)
"""The settings of `imsg up`, then those of each service."""


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """Stores, secrets and stand-ins that the services share."""

    settings: Settings
    folder: Path
    redis_url: str
    service_key: Keys
    token_key: Keys
    erasure_key: Keys
    secret_key: Keys
    admin_password: SecretStr | None
    """None where only this machine reaches iMSG: there the documented accounts are made."""
    sandbox_port: int
    """Where the sandbox accepts mail, if it runs."""
    stand_ins: Mapping[str, Mapping[str, Any]]
    """Channel → its settings with the sandbox as its provider; channels that have a provider are absent."""

    @property
    def has_sandbox(self) -> bool:
        """Whether the sandbox replaces any provider."""
        return bool(self.stand_ins) or any(
            stand_ins.names_sandbox(channel, read_channel(channel)) for channel in CHANNELS
        )

    def derive_settings(self, owner: str) -> dict[str, Any]:
        """Return the settings that a service gets instead of reading them; `owner` names its database."""
        settings = self.settings
        return dict(self.stand_ins) | {
            "broker_url": settings.broker_url or self.redis_url,
            "redis_url": self.redis_url,
            "database_url": settings.database_url or f"sqlite:///{self.folder / f'{owner}.db'}",
            "service_key": self.service_key,
            "token_key": self.token_key,
            "erasure_key": self.erasure_key,
            "secret_key": self.secret_key,
            "provider_keys": {channel.name: self._derive_provider_key(channel.name) for channel in CHANNELS},
            "provider_key": self._derive_provider_key(owner),
            "stand_in": owner in self.stand_ins,
            "tombstones_file": tombstones.find_file(self.folder),
            "admin_password": self.admin_password,
            "data_dir": self.folder,
            "host": settings.host,
            "port": settings.port,
            "public_url": settings.public_url,
            "trusted_proxies": settings.trusted_proxies,
            "allowed_hosts": settings.allowed_hosts,
            "log_level": settings.log_level,
            "gateway_url": "http://gateway",
            "auth_url": "http://auth",
            "history_url": "http://history",
            "wechat_url": "http://wechat",
            "callbacks_url": "http://callbacks",
            "catalog_url": "http://catalog",
            "scheduler_url": "http://scheduler",
        }

    def _derive_provider_key(self, method: str) -> Keys:
        keys = (key.get_secret_value().encode() for key in self.secret_key)
        return tuple(SecretStr(hmac.digest(key, f"imsg providers {method}".encode(), "sha256").hex()) for key in keys)


def read_channel(channel: ChannelSpec) -> Mapping[str, Any]:
    """Return the settings of a channel, unchecked."""
    return read_group(SENDERS[channel.name].Settings, channel.name)


def prepare(settings: Settings, folder: Path, redis_url: str) -> RuntimeConfig:
    """Make the secrets that are not set, and choose the sandbox's port. Raises StartError."""
    secrets_folder = folder / SECRETS
    password = settings.admin_password
    if password is None and settings.is_exposed:
        password = SecretStr(secrets.read_or_make(secrets_folder, "admin_password"))
    port = settings.sandbox.smtp_port or _free_port()
    values = stand_ins.Values(
        local_url(settings.host, settings.port), port, lambda name: secrets.read_or_make(secrets_folder, name)
    )
    stand_in_settings = {
        channel.name: stand_ins.fill_settings(channel, read_channel(channel), values) for channel in CHANNELS
    }
    return RuntimeConfig(
        settings,
        folder.resolve(),
        redis_url,
        settings.service_key or (SecretStr(secrets.read_or_make(secrets_folder, "service_key")),),
        settings.token_key or (SecretStr(secrets.read_or_make(secrets_folder, "token_key")),),
        settings.erasure_key or (SecretStr(secrets.read_or_make(secrets_folder, "erasure_key")),),
        settings.secret_key or (SecretStr(secrets.read_or_make(secrets_folder, "secret_key")),),
        password,
        port,
        {name: settings for name, settings in stand_in_settings.items() if settings is not None},
    )


@dataclass(frozen=True, slots=True)
class AllInOne:
    """All services; they run while the context `running` is open."""

    router: Router
    parts: tuple[Service, ...]
    """In the order in which they open."""

    @property
    def has_console(self) -> bool:
        """Whether the web page is served."""
        return any(part.name == "console" for part in self.parts)

    def watch(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run work of the whole process while the services run; if it fails, the process ends."""
        self.parts[0].watch(work, name)

    def report(self, find: Callable[[], Iterable[Finding]]) -> None:
        """Add the findings of a check of the whole process to those of the gateway."""
        next(part for part in self.parts if part.name == "gateway").report(find)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open every service in order, close them in reverse. Raises StartError."""
        async with AsyncExitStack() as stack:
            for part in self.parts:
                await stack.enter_async_context(part.running())
            yield


def make(config: RuntimeConfig, *, with_console: bool = True) -> AllInOne:
    """Make the services, each with its settings. Raises StartError for a wrong setting, before anything is opened."""
    apps: dict[str, Service] = {}
    sandbox = _sandbox(config, apps)
    auth = imsg_auth.main.app(load(imsg_auth.main.Settings, **config.derive_settings("auth")), apps)
    history = imsg_history.main.app(load(imsg_history.main.Settings, **config.derive_settings("history")), apps)
    callbacks = imsg_callbacks.main.app(load(imsg_callbacks.main.Settings, **config.derive_settings("callbacks")), apps)
    catalog = imsg_catalog.main.app(load(imsg_catalog.main.Settings, **config.derive_settings("catalog")), apps)
    scheduler = imsg_scheduler.main.app(load(imsg_scheduler.main.Settings, **config.derive_settings("scheduler")), apps)
    senders = {name: _sender(name, main, config, apps) for name, main in SENDERS.items()}
    gateway = imsg_gateway.main.app(load(imsg_gateway.main.Settings, **config.derive_settings("gateway")), apps)
    owners = {"auth": auth, "history": history, "callbacks": callbacks, "catalog": catalog, "scheduler": scheduler}
    apps.update(**owners, gateway=gateway, **senders)
    for service in sandbox:
        apps["sandbox"] = service
    console = _console(config, apps) if with_console else None
    parts = (*sandbox, *owners.values(), *senders.values(), gateway, *([console] if console else []))
    table = [
        *((path, gateway) for path in ("/api", "/docs", "/openapi.json", "/health/live")),
        ("/u", catalog),
        *((f"/hooks/{name}", sender) for name, sender in senders.items()),
        *(("/sandbox", service) for service in sandbox),
    ]
    return AllInOne(Router(table, parts, page=console), parts)


def _sender(name: str, main: Main, config: RuntimeConfig, apps: Apps) -> Service:
    """Make the sender of a channel. A sender that lacks settings, of which none is set, idles and reports what to set.

    Raises StartError for a wrong setting.
    """
    settings = config.derive_settings(name)
    try:
        return main.app(load(main.Settings, **settings), apps)
    except StartError:
        if name in config.stand_ins or is_given(main.Settings, name):
            raise
        return main.app(load_without(main.Settings, name, **settings), apps)


def _sandbox(config: RuntimeConfig, apps: Apps) -> tuple[Service, ...]:
    """Return the sandbox if it replaces a provider."""
    if not config.has_sandbox:
        return ()
    own: dict[str, Any] = {"smtp_port": config.sandbox_port, "smtp_host": LOOPBACK}
    own |= {f"{channel.name}_hooks": f"http://{channel.name}" for channel in CHANNELS if channel.has_hooks}
    settings = config.derive_settings("sandbox") | {"sandbox": own}
    return (imsg_sandbox.main.app(load(imsg_sandbox.main.Settings, **settings), apps),)


def _console(config: RuntimeConfig, apps: Apps) -> Service:
    """Make the web page, a client of the public API."""
    settings = config.derive_settings("console") | {"sandbox_url": "http://sandbox" if "sandbox" in apps else ""}
    return imsg_console.main.app(load(imsg_console.main.Settings, **settings), apps)


def _free_port() -> int:
    """Choose a port for the sandbox's mail. If another process binds it first, the start fails with one clear line."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
    return port
