"""The sandbox as a service: reads its settings, opens its stand-ins, wires them to one inbox."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from types import MappingProxyType

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from imsg_sandbox import mail
from imsg_sandbox.admission import Admission
from imsg_sandbox.delivery import Post
from imsg_sandbox.faults import Faults
from imsg_sandbox.inbox import Inbox
from imsg_sandbox.magic import Magic
from imsg_sandbox.routes import routes
from imsg_sandbox.smtp import Listening, SmtpSettings, serving
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
    inbox_bytes: int = Field(default=INBOX_BYTES, ge=1024)


class Settings(Common):
    """What the sandbox reads."""

    gateway_url: str = "http://gateway:8000"
    sandbox: SandboxSettings = SandboxSettings()


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
            inbox = Inbox(own.inbox_bytes, {"smtp": mail.read})
            faults = Faults()
            gateway = await stack.enter_async_context(peers.connect(settings.gateway_url, settings.service_key, apps))
            post = Post(inbox, faults, Magic(), lambda: datetime.now(UTC))
            service.smtp = await stack.enter_async_context(
                serving(own.smtp_host or settings.host, own.smtp_port, own.smtp, post)
            )
            api = FastAPI(title="iMSG sandbox", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
            speak(api)
            api.include_router(routes(inbox, faults, Admission(gateway, everybody=settings.on_loopback)))
            yield api

    service = Sandbox("sandbox", settings, opening)
    return service
