"""The gateway's wiring: settings, parts in order, the table of routes."""

import ipaddress
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated
from zoneinfo import ZoneInfo

from prometheus_client import Gauge
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_contract.ids import new_id
from imsg_contract.topology import Lane
from imsg_gateway import erasures, reader_page, relay, v1
from imsg_gateway.accept import Acceptor
from imsg_gateway.admission import Admission
from imsg_gateway.app import GatewayApp
from imsg_gateway.attachments import Files
from imsg_gateway.authentication import Authenticator
from imsg_gateway.backpressure import Backpressure
from imsg_gateway.bodies import Intake
from imsg_gateway.channels import Channels
from imsg_gateway.check import Checker
from imsg_gateway.clients import Clients
from imsg_gateway.document import Document
from imsg_gateway.draft import DraftReader
from imsg_gateway.followers import Followers
from imsg_gateway.idempotency import IdempotencyKeys
from imsg_gateway.metrics import RequestMetrics
from imsg_gateway.providers import Providers
from imsg_gateway.published_addresses import PublishedAddresses
from imsg_gateway.recipients import Recipients
from imsg_gateway.resend import Resends
from imsg_gateway.resend_lock import ResendLocks
from imsg_gateway.routes import Right, Route, Table
from imsg_gateway.send import SendHandler
from imsg_gateway.templates import PublishedTemplates
from imsg_runtime import redis, service_client
from imsg_runtime.quota import Quota, Tallies
from imsg_runtime.service import Service
from imsg_runtime.service_client import Apps
from imsg_runtime.settings import Common, Keys, StartError, load, variable
from imsg_runtime.strength import require_strong

SEND = frozenset(("to", "method", "content", "attachment", "account"))
MESSAGE = SEND | {"reference", "expires_in", "category", "sender", "reply_to"}
RESEND = frozenset(("id", "uncertain", "again", "only"))
RESEND_DEAD = frozenset(("again",))
PAUSE = frozenset(("paused", "reason"))
LANG = frozenset(("lang",))
"""Fields of the gateway's own URLs."""


class _Account(BaseModel):
    """An official account, of which the gateway wants the name alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class WeChat(BaseModel):
    """The official accounts there are."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    accounts: dict[str, _Account] = {}


class Settings(Common):
    """What the gateway reads."""

    auth_url: str = "http://auth:8000"
    history_url: str = "http://history:8000"
    token_key: Keys = ()
    http_status: str = ""
    """Retired: taken, warned of, and without any meaning (`runtime.unknown_settings`)."""
    max_recipients: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    max_attachment_bytes: Annotated[int, Field(ge=0, le=11 * 1024 * 1024)] = 10 * 1024 * 1024
    max_depth: Annotated[int, Field(ge=1)] = 1_000_000
    wechat: WeChat = WeChat()


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    chosen = settings or load(Settings)
    for name in ("token_key", "service_key"):
        if not getattr(chosen, name):
            raise StartError(f"{variable(name)} is not set; give the gateway the same one that auth has.")
        require_strong(chosen, name, keys=getattr(chosen, name))

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            yield await _open_parts(chosen, apps or {}, service, stack)

    return Service("gateway", chosen, opening, v1.refuse, bounds_bodies=False)


async def _open_parts(settings: Settings, apps: Apps, service: Service, stack: AsyncExitStack) -> GatewayApp:
    store = await stack.enter_async_context(redis.connect(settings.redis_url))
    broker = await stack.enter_async_context(open_broker(settings.broker_url, probes_alarms=True))
    auth = await stack.enter_async_context(service_client.connect(settings.auth_url, settings.service_key, apps))
    history = await stack.enter_async_context(service_client.connect(settings.history_url, settings.service_key, apps))
    zone = ZoneInfo(settings.timezone)
    accounts = tuple(sorted(settings.wechat.accounts))

    quota = Quota(store, zone)
    authenticator = Authenticator(quota, auth, settings.token_key, zone)
    backpressure = Backpressure(broker, settings.max_depth)
    recipients = Recipients(
        auth, Followers(store, accounts), PublishedAddresses(store), Tallies(store), settings.max_recipients
    )
    files = Files(settings.max_attachment_bytes)
    templates = PublishedTemplates(store)
    drafts = DraftReader(recipients, files, templates, accounts)
    providers = Providers(store, broker.topology.methods)
    acceptor = Acceptor(broker, history, quota, backpressure, providers)
    sending = SendHandler(
        drafts,
        Resends(history, authenticator, drafts, ResendLocks(store)),
        acceptor,
        IdempotencyKeys(store),
        new_id,
        admission=Admission(),
    )
    checker = Checker(drafts, providers, auth)
    channels = Channels(store, broker, backpressure)

    owners: dict[relay.Owner, service_client.Peer] = {"auth": auth, "history": history}
    own = (
        Route("POST", "/api/send", Right.SENDER, sending.send_v1, needs_body=True, fields=SEND),
        Route("POST", "/api/v2/messages", Right.SENDER, sending.send, needs_body=True, fields=MESSAGE),
        Route("POST", "/api/v2/messages/check", Right.USER, checker.check, needs_body=True, fields=MESSAGE),
        Route("POST", "/api/v2/resend", Right.SENDER, sending.resend, needs_body=True, fields=RESEND),
        Route("POST", "/api/v2/dead/{}/resend", Right.ADMIN, sending.resend, fields=RESEND_DEAD),
        Route("GET", "/api/v2/channels", Right.USER, channels.list),
        Route("PATCH", "/api/v2/channels/{}", Right.ADMIN, channels.pause, needs_body=True, fields=PAUSE),
        Route("GET", "/api/v2/templates", Right.USER, templates.list),
    )
    relayed = tuple(
        replace(route, handler=erasures.guard(route.handler, auth)) if route.path == erasures.PATH else route
        for route in relay.routes(owners)
    )
    document = Document(own, owners, relay.RELAYED, settings.public_url, time.monotonic)
    reader = reader_page.Reader()
    pages = (
        Route("GET", "/openapi.json", Right.OPEN, document.json, params=LANG),
        Route("GET", "/docs", Right.OPEN, reader.page, params=LANG),
        *(Route("GET", path, Right.OPEN, reader.file) for path in reader_page.PATHS),
    )
    table = Table((*own, *relayed, *pages))
    service.check("broker", lambda: broker.ready)
    service.check("redis", lambda: store.takes_writes)
    service.watch(store.watch(), "redis")
    service.watch(backpressure.watch(), "backpressure")
    service.watch(providers.watch(), "providers")
    waiting = Gauge("imsg_queue_depth", "Jobs and parts that wait at the broker", ("method",), registry=service.metrics)
    by_lane = Gauge("imsg_lane_depth", "Those of one lane", ("method", "lane"), registry=service.metrics)
    consuming = Gauge("imsg_queue_consumers", "Senders that consume a channel", ("method",), registry=service.metrics)
    for method in broker.topology.methods:
        waiting.labels(method).set_function(partial(backpressure.waiting, method))
        consuming.labels(method).set_function(partial(backpressure.consuming, method))
        for lane in Lane:
            by_lane.labels(method, lane.value).set_function(partial(backpressure.waiting, method, lane))
    blocked = Gauge("imsg_broker_blocked", "1 while an alarm keeps the broker from taking", registry=service.metrics)
    blocked.set_function(lambda: float(bool(broker.blocked)))
    proxies = [ipaddress.ip_network(network, strict=False) for network in settings.trusted_proxies]
    return GatewayApp(
        table, authenticator, Intake(), Clients(proxies), RequestMetrics(service.metrics, time.perf_counter)
    )
