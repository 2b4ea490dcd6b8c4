"""The whole of iMSG in one process: which services there are, what each is given, in which order they open."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SecretStr

import imsg_auth.main
import imsg_console.main
import imsg_gateway.main
import imsg_history.main
import imsg_sandbox.main
import imsg_sms.main
import imsg_smtp.main
import imsg_wechat.main
from imsg import secrets, tombstones
from imsg.location import LOOPBACK, local_url
from imsg.router import Router
from imsg_runtime.service import Service
from imsg_runtime.service_client import Apps
from imsg_runtime.settings import Common, Keys, RedisUrl, load

SANDBOX_SENDER = "iMSG <imsg@example.com>"
"""Who mail to the sandbox comes from where nobody was named."""

SANDBOX_ACCOUNT = "sandbox"
SANDBOX_APPID = "wx5a2d8c1e0f3b7a94"
SANDBOX_TEMPLATE = "imsg-sandbox-template"
"""The official account that the sandbox plays where none was named."""

WECHAT_API = "/sandbox/wechat/api"
"""Where the sandbox answers as WeChat does."""

ALIYUN_API = "/sandbox/aliyun/"
"""Where the sandbox answers as Aliyun does."""

SANDBOX_SMS: Mapping[str, Any] = MappingProxyType(
    {
        "access_key_id": "LTAI-imsg-sandbox",
        "sign_name": "天存",
        "template": "SMS_100000001",
        "variable": "content",
        "templates": {
            "SMS_100000001": {"text": "您有一条新通知：${content}，请及时查看。", "variables": {"content": None}},
            "SMS_100000002": {"text": "您的验证码为${code}，五分钟内有效，请勿告诉他人。", "variables": {"code": 6}},
            "SMS_100000003": {"text": "${name}您好，您预约的${time}已确认。", "variables": {"name": 20, "time": 20}},
        },
    }
)
"""The account at Aliyun that the sandbox plays where no firm was named."""

SECRETS = "secrets"
"""The folder of secrets inside the data folder."""


class SmtpAsked(BaseModel):
    """What is asked of the mail channel: only whether there is a server, and who sends."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str | None = None
    port: int | None = None
    sender: str | None = None


class AccountAsked(BaseModel):
    """What is asked of an official account: only where its API is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint: str = ""


class WeChatAsked(BaseModel):
    """What is asked of the WeChat channel: which official accounts there are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    accounts: dict[str, AccountAsked] = {}


class AliyunAsked(BaseModel):
    """What is asked of the account at Aliyun: whether there is one, and where its API is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint: str = ""
    access_key_id: str = ""


class SmsAsked(BaseModel):
    """What is asked of the SMS channel: which firms there are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    aliyun: AliyunAsked = AliyunAsked()
    http: Any = None

    @property
    def has_firm(self) -> bool:
        """Whether a firm was named."""
        return bool(self.aliyun.access_key_id or self.aliyun.endpoint) or self.http is not None


class SandboxAsked(BaseModel):
    """What is asked of the sandbox."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    smtp_port: int = 0
    """Any free one, since `imsg up` itself tells the channel."""


class Settings(Common):
    """What `imsg up` reads; whatever is not given, it makes or embeds. Services read the rest themselves."""

    broker_url: str = ""
    """Empty: the streams of `redis_url`."""
    redis_url: RedisUrl = ""
    """Empty: the embedded Valkey."""
    database_url: str = ""
    """Empty: SQLite in the data folder, one file per owner."""
    data_dir: Path = Path("data")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    token_key: Keys = ()
    smtp: SmtpAsked = SmtpAsked()
    wechat: WeChatAsked = WeChatAsked()
    sms: SmsAsked = SmsAsked()
    sandbox: SandboxAsked = SandboxAsked()


MODELS: tuple[type[Common], ...] = (
    Settings,
    imsg_gateway.main.Settings,
    imsg_auth.main.Settings,
    imsg_history.main.Settings,
    imsg_smtp.main.Settings,
    imsg_sms.main.Settings,
    imsg_wechat.main.Settings,
    imsg_sandbox.main.Settings,
    imsg_console.main.Settings,
)
"""All that is read by anything here: the whole first, then each service."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the services stand on."""

    settings: Settings
    folder: Path
    redis_url: str
    service_key: Keys
    token_key: Keys
    erasure_key: Keys
    admin_password: SecretStr | None
    """None where nobody but this machine reaches us: there the documented accounts are made."""
    sandbox_port: int | None
    """Where the sandbox takes mail; None where a real server does."""
    sandbox_account: Mapping[str, str] | None
    """The official account that the sandbox plays; None where others were named."""
    sandbox_sms: Mapping[str, Any] | None
    """The account at Aliyun that the sandbox plays; None where a firm was named."""

    @property
    def has_sandbox(self) -> bool:
        """Whether the sandbox stands in for anybody."""
        asked = self.settings.wechat.accounts.values()
        pointed = any(WECHAT_API in account.endpoint for account in asked)
        pointed = pointed or ALIYUN_API.rstrip("/") in self.settings.sms.aliyun.endpoint
        played = (self.sandbox_port, self.sandbox_account, self.sandbox_sms)
        return pointed or any(one is not None for one in played)

    def given(self, owner: str) -> dict[str, Any]:
        """Return the settings that a service is given instead of reading them."""
        asked = self.settings
        sandboxed: dict[str, Any] = {}
        if self.sandbox_port is not None:
            server = {"host": LOOPBACK, "port": self.sandbox_port, "security": "none"}
            sandboxed["smtp"] = server | {"sender": asked.smtp.sender or SANDBOX_SENDER}
        if self.sandbox_account is not None:
            sandboxed["wechat"] = {"accounts": {SANDBOX_ACCOUNT: self.sandbox_account}}
        if self.sandbox_sms is not None:
            sandboxed["sms"] = {"aliyun": self.sandbox_sms}
        return sandboxed | {
            "broker_url": asked.broker_url or self.redis_url,
            "redis_url": self.redis_url,
            "database_url": asked.database_url or f"sqlite:///{self.folder / f'{owner}.db'}",
            "service_key": self.service_key,
            "token_key": self.token_key,
            "erasure_key": self.erasure_key,
            "tombstones_file": tombstones.beside(self.folder),
            "admin_password": self.admin_password,
            "data_dir": self.folder,
            "host": asked.host,
            "port": asked.port,
            "public_url": asked.public_url,
            "trusted_proxies": asked.trusted_proxies,
            "allowed_hosts": asked.allowed_hosts,
            "log_level": asked.log_level,
            "gateway_url": "http://gateway",
            "auth_url": "http://auth",
            "history_url": "http://history",
        }


def prepare(settings: Settings, folder: Path, redis_url: str) -> Ground:
    """Make the secrets that nobody gave, and choose the sandbox's port. Raises StartError."""
    kept = folder / SECRETS
    password = settings.admin_password
    if password is None and settings.is_exposed:
        password = SecretStr(secrets.keep(kept, "admin_password"))
    return Ground(
        settings,
        folder.resolve(),
        redis_url,
        settings.service_key or (SecretStr(secrets.keep(kept, "service_key")),),
        settings.token_key or (SecretStr(secrets.keep(kept, "token_key")),),
        settings.erasure_key or (SecretStr(secrets.keep(kept, "erasure_key")),),
        password,
        (settings.sandbox.smtp_port or _free_port()) if settings.smtp.host is None else None,
        None if settings.wechat.accounts else _account(kept, settings),
        None if settings.sms.has_firm else _sms(kept, settings),
    )


def _account(kept: Path, settings: Settings) -> Mapping[str, str]:
    """Make the sandbox's official account; its secrets are kept, since its webhook is open to everybody."""
    return {
        "appid": SANDBOX_APPID,
        "template": SANDBOX_TEMPLATE,
        "endpoint": local_url(settings.host, settings.port) + WECHAT_API,
        **{name: secrets.keep(kept, f"wechat_{name}") for name in ("secret", "token", "aes_key")},
    }


def _sms(kept: Path, settings: Settings) -> Mapping[str, Any]:
    """Make the sandbox's account at Aliyun."""
    return {
        **SANDBOX_SMS,
        "endpoint": local_url(settings.host, settings.port) + ALIYUN_API,
        "access_key_secret": secrets.keep(kept, "sms_access_key_secret"),
        "hook_secret": secrets.keep(kept, "sms_hook_secret"),
    }


@dataclass(frozen=True, slots=True)
class Whole:
    """The services, made; they work while `running` lasts."""

    router: Router
    parts: tuple[Service, ...]
    """In the order in which they open."""

    @property
    def has_console(self) -> bool:
        """Whether the web page is served."""
        return any(part.name == "console" for part in self.parts)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open every service in order, close them in reverse. Raises StartError."""
        async with AsyncExitStack() as stack:
            for part in self.parts:
                await stack.enter_async_context(part.running())
            yield


def make(ground: Ground, *, with_console: bool = True) -> Whole:
    """Make the services, each with its settings. Raises StartError where one is wrong, before anything is opened."""
    apps: dict[str, Service] = {}
    sandbox = _sandbox(ground, apps)
    auth = imsg_auth.main.app(load(imsg_auth.main.Settings, **ground.given("auth")), apps)
    history = imsg_history.main.app(load(imsg_history.main.Settings, **ground.given("history")), apps)
    smtp = imsg_smtp.main.app(load(imsg_smtp.main.Settings, **ground.given("smtp")), apps)
    sms = imsg_sms.main.app(load(imsg_sms.main.Settings, **ground.given("sms")), apps)
    wechat = imsg_wechat.main.app(load(imsg_wechat.main.Settings, **ground.given("wechat")), apps)
    gateway = imsg_gateway.main.app(load(imsg_gateway.main.Settings, **ground.given("gateway")), apps)
    apps.update(auth=auth, history=history, gateway=gateway, sms=sms, wechat=wechat)
    for service in sandbox:
        apps["sandbox"] = service
    console = _console(ground, apps) if with_console else None
    parts = (*sandbox, auth, history, smtp, sms, wechat, gateway, *([console] if console else []))
    table = [
        *((path, gateway) for path in ("/api", "/docs", "/openapi.json", "/health/live")),
        ("/hooks/smtp", smtp),
        ("/hooks/sms", sms),
        ("/hooks/wechat", wechat),
        *(("/sandbox", service) for service in sandbox),
    ]
    return Whole(Router(table, parts, page=console), parts)


def _sandbox(ground: Ground, apps: Apps) -> tuple[Service, ...]:
    """Make the sandbox where it stands in for a provider; else nothing."""
    if not ground.has_sandbox:
        return ()
    own: dict[str, Any] = {"smtp_port": ground.sandbox_port or 0, "smtp_host": LOOPBACK}
    own |= {"wechat_hooks": "http://wechat", "sms_hooks": "http://sms"}
    given = ground.given("sandbox") | {"sandbox": own}
    return (imsg_sandbox.main.app(load(imsg_sandbox.main.Settings, **given), apps),)


def _console(ground: Ground, apps: Apps) -> Service:
    """Make the web page, which asks the API like everybody else."""
    given = ground.given("console") | {"sandbox_url": "http://sandbox" if "sandbox" in apps else ""}
    return imsg_console.main.app(load(imsg_console.main.Settings, **given), apps)


def _free_port() -> int:
    """Choose a port for the sandbox's mail. Whoever is quicker to take it makes the start fail with one clear line."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
    return port
