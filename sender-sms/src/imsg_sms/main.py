"""The wiring of sender-sms: the providers, the channel, the templates, the hooks."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI
from starlette.types import ASGIApp

from imsg_contract.wire import TemplateLimits
from imsg_delivery.sender import Sender, make_sender
from imsg_runtime.observe import logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.responses import speak
from imsg_runtime.service import Service
from imsg_runtime.service_client import Apps
from imsg_runtime.settings import variable
from imsg_sms import hooks
from imsg_sms.channel import SmsChannel, terms
from imsg_sms.providers import Provider
from imsg_sms.providers.aliyun import AliyunProvider
from imsg_sms.providers.clients import ANSWER_TIMEOUT_S, Clients, open_clients
from imsg_sms.providers.http import HttpProvider
from imsg_sms.receipts import Receipts
from imsg_sms.route import Carrier, Route
from imsg_sms.settings import Settings, Sms
from imsg_sms.templates import Templates

__all__ = ["Receipts", "Settings", "Sms", "app", "open_channel", "terms"]

log = logger(__name__)

PUBLISH_EVERY_S = 10.0
"""How long the gateways may lack the templates after Redis was emptied: meanwhile the sender judges by itself."""

PROVIDERS: Mapping[str, Callable[[Sms, Clients, Receipts], Provider | None]] = {
    "aliyun": lambda sms, clients, receipts: AliyunProvider(sms.aliyun, clients, receipts) if sms.aliyun else None,
    "http": lambda sms, clients, _: HttpProvider(sms.http, clients) if sms.http else None,
}
"""The providers there are: a new one is its module in `providers/`, its settings, and its line here."""


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    del apps  # it calls no other service
    remedy = f"set {variable('sms', 'aliyun', 'access_key_id')} and its companions"
    return make_sender("sms", Settings, settings, _open_parts, remedy=remedy)


async def _open_parts(sender: Sender, settings: Settings) -> ASGIApp:
    receipts = Receipts(sender.broker, sender.redis)
    channel = await sender.stack.enter_async_context(open_channel(settings.sms, receipts))
    sender.work(channel)
    sender.service.watch(_publish(channel.templates, sender.redis), "templates")
    api = FastAPI(title="iMSG sender-sms", openapi_url=None)
    speak(api)
    secret = settings.sms.aliyun.hook_secret if settings.sms.aliyun else None
    api.include_router(hooks.routes(receipts, secret, lambda: datetime.now(UTC)))
    return api


@asynccontextmanager
async def open_channel(
    sms: Sms,
    receipts: Receipts,
    *,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[SmsChannel]:
    """Open the channel alone; no connection is made before the first message."""
    async with AsyncExitStack() as stack:
        providers: list[Provider] = []
        for name in sms.order:
            clients = await stack.enter_async_context(open_clients(answer_timeout_s))
            if (provider := PROVIDERS[name](sms, clients, receipts)) is not None:
                providers.append(provider)
        known: dict[str, TemplateLimits] = {}
        for provider in providers:
            known = {**provider.limits, **known}
        route = Route([Carrier.of(provider, clock) for provider in providers])
        yield SmsChannel(route, Templates(known), terms(sms.uncertain, can_ask=route.can_ask))


async def _publish(templates: Templates, connection: Redis) -> None:
    """Tell the gateways the templates, again and again: Redis may be emptied, and another sender configured anew."""
    while True:
        try:
            await templates.publish(connection)
        except (RedisUnavailable, RedisRefused) as error:
            log.warning("templates_not_published", why=str(error))
        await asyncio.sleep(PUBLISH_EVERY_S)
