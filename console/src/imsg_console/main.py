"""The console as a service: reads its settings, opens the way to the API, serves the pages."""

import asyncio
import importlib
import ipaddress
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import MappingProxyType

from pydantic import Field
from starlette.types import ASGIApp

from imsg_console.client import TOKEN_ENDED, ApiError, Gateway, Visitor, forward
from imsg_console.origin import Network, Origins
from imsg_console.session import Login, NoSession, Session, Sessions
from imsg_runtime.settings import Common, load
from imsg_web import service_client
from imsg_web.callers import Apps
from imsg_web.service import Service

SWEEP_S = 10.0


class Settings(Common):
    """What the console reads."""

    gateway_url: str = "http://gateway:8000"
    """The URL of the gateway."""
    sandbox_url: str = ""
    """The URL of the sandbox. Empty: the web page has no page of the sandbox."""
    console_idle_minutes: int = Field(default=30, ge=1, le=24 * 60)
    """After how many minutes without a click a session of the web page ends."""


def app(settings: Settings | None = None, apps: Apps = MappingProxyType({})) -> Service:
    """Make the service; nothing is opened before its `running`."""
    settings = settings or load(Settings)

    @asynccontextmanager
    async def run(service: Service) -> AsyncIterator[ASGIApp]:
        web = await asyncio.to_thread(importlib.import_module, "imsg_console.web")  # NiceGUI takes half a second
        async with AsyncExitStack() as stack:
            near = forward(apps)
            gateway = Gateway(await stack.enter_async_context(service_client.connect(settings.gateway_url, (), near)))
            sandbox = None
            if settings.sandbox_url:
                sandbox = Gateway(
                    await stack.enter_async_context(service_client.connect(settings.sandbox_url, (), near))
                )

            async def revoke(session: Session) -> None:
                try:
                    await gateway.call("POST", "/api/v2/logout", {}, token=session.token)
                except ApiError:
                    return  # the session here is over all the same, and the token expires

            async def resume(secret: str, visitor: Visitor) -> Login | NoSession | None:
                try:
                    made = await gateway.call("POST", "/api/v2/sessions/resume", {"secret": secret}, visitor=visitor)
                    me = await gateway.call("GET", "/api/v2/me", token=made["token"], visitor=visitor)
                except ApiError as error:
                    return NoSession() if error.code == TOKEN_ENDED else None
                return Login(me["username"], me["role"], made["token"], made["expires_in"])

            sessions = Sessions(settings.console_idle_minutes * 60.0, time.monotonic, revoke, resume)
            origins = Origins(settings.public_url, _parse(settings.trusted_proxies))
            exposed = settings.is_exposed
            served = web.Web(gateway, sandbox, sessions, origins, settings.timezone, exposed, time.monotonic)
            service.watch(sessions.keep_sweeping(SWEEP_S), "sweep")
            yield await stack.enter_async_context(web.open_pages(served))

    return Service("console", settings, run)


def _parse(networks: Sequence[str]) -> list[Network]:
    return [ipaddress.ip_network(network, strict=False) for network in networks]
