"""The wiring of sender-pager: settings, Redis, broker, the channel, the worker."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_delivery.consumer import Worker
from imsg_pager.channel import PagerChannel
from imsg_runtime import redis
from imsg_runtime.responses import speak
from imsg_runtime.service import Service
from imsg_runtime.service_client import Apps
from imsg_runtime.settings import Common, load


class Pager(BaseModel):
    """Settings under `IMSG_PAGER__`."""

    model_config = ConfigDict(frozen=True)

    url: str
    timeout_s: float = 10.0


class Settings(Common):
    """What sender-pager reads."""

    pager: Pager


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    del apps  # it asks no other service
    chosen = settings or load(Settings)

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(redis.connect(chosen.redis_url))
            broker = await stack.enter_async_context(open_broker(chosen.broker_url))
            client = httpx.AsyncClient(base_url=chosen.pager.url, timeout=chosen.pager.timeout_s)
            channel = PagerChannel(await stack.enter_async_context(client))
            worker = Worker(
                channel,
                broker,
                connection,
                metrics=service.metrics,
                stopping=service.stopping,
                life=service.life,
                erasure_keys=chosen.erasure_key,
            )
            service.check("broker", lambda: broker.ready)
            service.watch(worker.run(), "worker")
            api = FastAPI(title="iMSG sender-pager", openapi_url=None)
            speak(api)
            yield api

    return Service("pager", chosen, opening)
