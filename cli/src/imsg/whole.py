"""The whole of iMSG in one process: which services there are, what each is given, in which order they open."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

import imsg_auth.main
import imsg_gateway.main
import imsg_history.main
import imsg_sandbox.main
import imsg_smtp.main
from imsg import secrets
from imsg.router import Router
from imsg_shared.peers import Apps
from imsg_shared.service import Service
from imsg_shared.settings import Common, Keys, StartError, load

SANDBOX_SENDER = "iMSG <imsg@example.com>"
"""Who mail to the sandbox comes from where nobody was named."""

SECRETS = "secrets"
"""The folder of secrets inside the data folder."""


class SmtpAsked(BaseModel):
    """What is asked of the mail channel: only whether there is a server, and who sends."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str | None = None
    port: int | None = None
    sender: str | None = None


class SandboxAsked(BaseModel):
    """What is asked of the sandbox."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    smtp_port: int = 0
    """Any free one, since `imsg up` itself tells the channel."""


class Settings(Common):
    """What `imsg up` reads; whatever is not given, it makes or embeds. Services read the rest themselves."""

    broker_url: str = ""
    """Empty: the streams of `redis_url`."""
    redis_url: str = ""
    """Empty: the embedded Valkey."""
    database_url: str = ""
    """Empty: SQLite in the data folder, one file per owner."""
    data_dir: Path = Path("data")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    token_key: Keys = ()
    admin_password: SecretStr | None = None
    smtp: SmtpAsked = SmtpAsked()
    sandbox: SandboxAsked = SandboxAsked()


@dataclass(frozen=True, slots=True)
class Ground:
    """What the services stand on."""

    settings: Settings
    folder: Path
    redis_url: str
    service_key: Keys
    token_key: Keys
    admin_password: SecretStr | None
    """None on loopback, where the documented accounts are made."""

    def given(self, owner: str) -> dict[str, Any]:
        """Return the settings that a service is given instead of reading them."""
        asked = self.settings
        return {
            "broker_url": asked.broker_url or self.redis_url,
            "redis_url": self.redis_url,
            "database_url": asked.database_url or f"sqlite:///{self.folder / f'{owner}.db'}",
            "service_key": self.service_key,
            "token_key": self.token_key,
            "admin_password": self.admin_password,
            "data_dir": self.folder,
            "host": asked.host,
            "port": asked.port,
            "log_level": asked.log_level,
            "gateway_url": "http://gateway",
            "auth_url": "http://auth",
            "history_url": "http://history",
        }


def prepare(settings: Settings, folder: Path, redis_url: str) -> Ground:
    """Make the secrets that nobody gave. Raises StartError."""
    kept = folder / SECRETS
    password = settings.admin_password
    if password is None and not settings.on_loopback:
        password = SecretStr(secrets.keep(kept, "admin_password"))
    return Ground(
        settings,
        folder.resolve(),
        redis_url,
        settings.service_key or (SecretStr(secrets.keep(kept, "service_key")),),
        settings.token_key or (SecretStr(secrets.keep(kept, "token_key")),),
        password,
    )


@dataclass(frozen=True, slots=True)
class Whole:
    """The services, open."""

    router: Router
    parts: tuple[Service, ...]
    sandbox: imsg_sandbox.main.Sandbox | None


@asynccontextmanager
async def opened(ground: Ground) -> AsyncIterator[Whole]:
    """Open every service in order, close them in reverse. Raises StartError."""
    apps: dict[str, Service] = {}
    async with AsyncExitStack() as stack:
        sandbox = _sandbox(ground, apps)
        auth = imsg_auth.main.app(load(imsg_auth.main.Settings, **ground.given("auth")), apps)
        history = imsg_history.main.app(load(imsg_history.main.Settings, **ground.given("history")), apps)
        gateway = imsg_gateway.main.app(load(imsg_gateway.main.Settings, **ground.given("gateway")), apps)
        apps.update(auth=auth, history=history, gateway=gateway)
        if sandbox is not None:
            await stack.enter_async_context(sandbox.running())
        smtp = _smtp(ground, apps, sandbox)
        parts: tuple[Service, ...] = (auth, history, smtp, gateway)
        for part in parts:
            await stack.enter_async_context(part.running())
        table: list[tuple[str, Service]] = [
            *((path, gateway) for path in ("/api", "/docs", "/openapi.json", "/health/live")),
            ("/hooks/smtp", smtp),
        ]
        if sandbox is not None:
            parts = (*parts, sandbox)
            table.append(("/sandbox", sandbox))
        yield Whole(Router(table, parts), parts, sandbox)


def _sandbox(ground: Ground, apps: Apps) -> imsg_sandbox.main.Sandbox | None:
    """Make the sandbox where a provider is missing."""
    if ground.settings.smtp.host is not None:
        return None
    port = ground.settings.sandbox.smtp_port
    given = ground.given("sandbox") | {"sandbox": {"smtp_port": port, "smtp_host": "127.0.0.1"}}
    return imsg_sandbox.main.app(load(imsg_sandbox.main.Settings, **given), apps)


def _smtp(ground: Ground, apps: Apps, sandbox: imsg_sandbox.main.Sandbox | None) -> Service:
    given = ground.given("smtp")
    if sandbox is not None:
        if sandbox.smtp is None:
            raise StartError("the sandbox takes no mail")
        server = {"host": sandbox.smtp.host, "port": sandbox.smtp.port, "security": "none"}
        given["smtp"] = server | {"sender": ground.settings.smtp.sender or SANDBOX_SENDER}
    return imsg_smtp.main.app(load(imsg_smtp.main.Settings, **given), apps)
