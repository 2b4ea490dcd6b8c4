"""The sandbox as a service: reads its settings, opens its stand-ins, wires them to one inbox."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from types import MappingProxyType

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from imsg_sandbox import mail, wechat, wechat_api, wechat_push, wechat_templates
from imsg_sandbox.admission import Admission
from imsg_sandbox.delivery import Post
from imsg_sandbox.faults import Faults
from imsg_sandbox.inbox import Inbox
from imsg_sandbox.magic import Magic
from imsg_sandbox.routes import routes
from imsg_sandbox.smtp import Listening, SmtpSettings, serving
from imsg_sandbox.wechat_accounts import Accounts, AccountSettings
from imsg_shared import peers
from imsg_shared.answers import speak
from imsg_shared.peers import Apps
from imsg_shared.service import Service
from imsg_shared.settings import Common, load

INBOX_BYTES = 128 * 1024 * 1024


class SandboxSettings(BaseModel):
    """Settings under `IMSG_SANDBOX__`."""

    model_config = ConfigDict(frozen=True)

    smtp_port: int = Field(default=2525, ge=0, le=65_535)
    """0: any free port; `Sandbox.smtp` then tells which."""
    smtp_host: str | None = None
    """None: the host of the service."""
    smtp: SmtpSettings = SmtpSettings()
    wechat_hooks: str = "http://127.0.0.1:8000"
    """Below which URL WeChat's events and receipts go: `/hooks/wechat/ACCOUNT` is added."""
    wechat_receipt_s: float = Field(default=0.5, ge=0, le=60)
    """How long after a message its receipt comes, more or less."""
    inbox_bytes: int = Field(default=INBOX_BYTES, ge=1024)


class WeChatSettings(BaseModel):
    """The official accounts played: those of sender-wechat."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    accounts: dict[str, AccountSettings] = {}


class Settings(Common):
    """What the sandbox reads."""

    gateway_url: str = "http://gateway:8000"
    sandbox: SandboxSettings = SandboxSettings()
    wechat: WeChatSettings = WeChatSettings()


class Sandbox(Service):
    """The service, with the mail server's address for whoever sends to it."""

    smtp: Listening | None = None
    """Where mail is taken, once running."""


def app(settings: Settings | None = None, apps: Apps = MappingProxyType({})) -> Sandbox:
    """Make the service; nothing is opened before its `running`."""
    settings = settings or load(Settings)
    own = settings.sandbox

    @asynccontextmanager
    async def opening(_: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            inbox = Inbox(own.inbox_bytes, {"smtp": mail.read, wechat_api.METHOD: wechat_templates.read})
            faults = Faults()
            gateway = await stack.enter_async_context(peers.connect(settings.gateway_url, settings.service_key, apps))
            post = Post(inbox, faults, Magic(), lambda: datetime.now(UTC))
            service.smtp = await stack.enter_async_context(
                serving(own.smtp_host or settings.host, own.smtp_port, own.smtp, post)
            )
            api = FastAPI(title="iMSG sandbox", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
            speak(api)
            admission = Admission(gateway, everybody=settings.on_loopback)
            api.include_router(routes(inbox, faults, admission))
            accounts = Accounts(settings.wechat.accounts)
            pusher = await stack.enter_async_context(wechat_push.pushing(own.wechat_hooks, apps))
            api.include_router(wechat.routes(wechat.People(accounts, pusher), admission))
            wechat_calls = wechat_api.Api(accounts, faults, inbox, pusher, now=time.time, late_s=own.wechat_receipt_s)
            api.include_router(wechat_api.routes(wechat_calls), prefix=f"{wechat.PREFIX}/api")
            yield api

    service = Sandbox("sandbox", settings, opening)
    return service
