"""The wiring of sender-pager: its settings and its channel."""

import httpx
from pydantic import BaseModel, ConfigDict
from starlette.types import ASGIApp

from imsg_delivery.sender import Sender, make_sender
from imsg_pager.channel import PagerChannel
from imsg_runtime.settings import SenderSettings
from imsg_web.app import make_app
from imsg_web.callers import Apps
from imsg_web.service import Service


class Pager(BaseModel):
    """Settings under `IMSG_PAGER__`."""

    model_config = ConfigDict(frozen=True)

    url: str
    timeout_s: float = 10.0


class Settings(SenderSettings):
    """What sender-pager reads."""

    pager: Pager


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    del apps  # it asks no other service
    return make_sender("pager", Settings, settings, _open_parts, remedy="set IMSG_PAGER__URL")


async def _open_parts(sender: Sender, settings: Settings) -> ASGIApp:
    client = httpx.AsyncClient(base_url=settings.pager.url, timeout=settings.pager.timeout_s)
    sender.work(PagerChannel(await sender.stack.enter_async_context(client)))
    return make_app("iMSG sender-pager", [])
