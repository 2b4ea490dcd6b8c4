"""The gateway's wiring: settings, parts in order, the table of routes."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from prometheus_client import Gauge
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_broker.port import Broker
from imsg_contract.ids import new_id
from imsg_contract.topology import Lane
from imsg_gateway import erasures, reader_page, relay, v1
from imsg_gateway.accept import Acceptor
from imsg_gateway.app import GatewayApp
from imsg_gateway.attachments import Files
from imsg_gateway.authentication import Authenticator
from imsg_gateway.channels import Channels
from imsg_gateway.check import Checker
from imsg_gateway.document import Document
from imsg_gateway.draft import DraftReader
from imsg_gateway.follower_requests import FollowerRequests
from imsg_gateway.followers import Followers
from imsg_gateway.idempotency import IdempotencyKeys
from imsg_gateway.metrics import RequestMetrics
from imsg_gateway.providers import Providers
from imsg_gateway.published_addresses import PublishedAddresses
from imsg_gateway.published_names import PublishedNames
from imsg_gateway.recipients import Recipients
from imsg_gateway.resend import Resends
from imsg_gateway.resend_lock import ResendLocks
from imsg_gateway.routed_limits import RoutedLimits
from imsg_gateway.routes import Handler, Right, Route, Table
from imsg_gateway.send import SendHandler
from imsg_gateway.templates import PublishedTemplates
from imsg_limits.admission import OF_ONE_USER, Admission
from imsg_limits.backpressure import Backpressure
from imsg_limits.lag_throttle import LagThrottle
from imsg_limits.quota import Counters, Quota
from imsg_runtime import redis
from imsg_runtime.key_strength import require_strong
from imsg_runtime.settings import Common, Keys, StartError, load, variable
from imsg_web import service_client
from imsg_web.callers import Apps
from imsg_web.clients import Clients
from imsg_web.service import Service
from imsg_web.service_client import Peer

SEND = frozenset(("to", "method", "content", "attachment", "account"))
MESSAGE = SEND | {"reference", "expires_in", "category", "sender", "reply_to", "provider"}
RESEND = frozenset(("id", "uncertain", "again", "only"))
RESEND_DEAD = frozenset(("again",))
TEST = frozenset(("to",))
PAUSE = frozenset(("paused", "reason"))
BIND = frozenset(("account", "username"))
FOLLOWERS = frozenset(("account", "tag", "user", "limit", "cursor"))
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
    """The URL of auth."""
    history_url: str = "http://history:8000"
    """The URL of history."""
    wechat_url: str = "http://sender-wechat:8000"
    """The URL of sender-wechat, which knows the followers."""
    callbacks_url: str = "http://callbacks:8000"
    """The URL of callbacks."""
    catalog_url: str = "http://catalog:8000"
    """The URL of catalog."""
    token_key: Keys = ()
    """Signs the tokens of users. The first key signs, all verify."""
    http_status: Annotated[str, Field(exclude=True)] = ""
    """Retired: taken, warned of, and without any meaning (`runtime.unknown_settings`)."""
    max_recipients: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """The most recipients of one request."""
    max_attachment_bytes: Annotated[int, Field(ge=0, le=11 * 1024 * 1024)] = 10 * 1024 * 1024
    """The most bytes that the attachments of one mail have together."""
    max_depth: Annotated[int, Field(ge=1)] = 1_000_000
    """How many jobs of a channel may wait before the gateway refuses more with `Retry-After`."""
    wechat: WeChat = WeChat()

    @property
    def account_names(self) -> tuple[str, ...]:
        """The official accounts, in order."""
        return tuple(sorted(self.wechat.accounts))


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

    return Service("gateway", chosen, opening, v1.refuse)


class _Peers(NamedTuple):
    """The services that the gateway asks."""

    auth: Peer
    history: Peer
    wechat: Peer
    catalog: Peer
    callbacks: Peer


class _Senders(NamedTuple):
    """What answers the URLs that send."""

    handler: SendHandler
    checker: Checker
    templates: PublishedTemplates


async def _open_parts(settings: Settings, apps: Apps, service: Service, stack: AsyncExitStack) -> GatewayApp:
    store = await stack.enter_async_context(redis.connect(settings.redis_url))
    broker = await stack.enter_async_context(open_broker(settings.broker_url, probes_alarms=True))
    urls = (settings.auth_url, settings.history_url, settings.wechat_url, settings.catalog_url, settings.callbacks_url)
    connections = [service_client.connect(url, settings.service_key, apps) for url in urls]
    peers = _Peers(*[await stack.enter_async_context(connection) for connection in connections])
    zone = ZoneInfo(settings.timezone)
    quota = Quota(store, zone)
    authenticator = Authenticator(quota, peers.auth, settings.token_key, zone)
    backpressure = Backpressure(broker, settings.max_depth)
    providers = Providers(store, broker.topology.methods)
    lag_throttle = LagThrottle(time.monotonic, OF_ONE_USER)
    acceptor = Acceptor(broker, peers.history, quota, backpressure, providers)
    templates, channels = PublishedTemplates(store), Channels(store, broker, backpressure)
    limits = RoutedLimits(store, templates, channels.providers)
    drafts = _make_drafts(settings, store, peers.auth, limits)
    resends = Resends(peers.history, authenticator, drafts, ResendLocks(store))
    keys, admission = IdempotencyKeys(store), Admission(lag_throttle)
    sending = SendHandler(drafts, resends, acceptor, keys, new_id, admission=admission)
    senders = _Senders(sending, Checker(drafts, providers, peers.auth, store), templates)
    followers = FollowerRequests(peers.wechat, peers.auth, broker, settings.account_names)
    own = (*_sending_routes(senders), *_channel_routes(channels, senders), *_follower_routes(followers))
    service.check("broker", lambda: broker.ready)
    service.check("redis", lambda: store.takes_writes)
    service.watch(store.watch(), "redis")
    service.watch(backpressure.watch(), "backpressure")
    service.watch(providers.watch(), "providers")
    service.watch(lag_throttle.watch(), "lag_throttle")
    _show_queues(service, broker, backpressure)
    requests = RequestMetrics(service.metrics, time.perf_counter)
    clients = Clients(settings.trusted_proxies)
    return GatewayApp(_table(settings, own, peers, channels), authenticator, clients, requests)


def _make_drafts(settings: Settings, store: redis.Redis, auth: Peer, limits: RoutedLimits) -> DraftReader:
    accounts = settings.account_names
    followers, published = Followers(store, accounts), PublishedAddresses(store)
    recipients = Recipients(auth, followers, published, Counters(store), settings.max_recipients)
    return DraftReader(recipients, Files(settings.max_attachment_bytes), limits, PublishedNames(store), accounts)


def _table(settings: Settings, own: Sequence[Route], peers: _Peers, channels: Channels) -> Table:
    """List every URL: the gateway's own, those that it passes on, and the pages that describe them."""
    owners: dict[relay.Owner, Peer] = {
        "auth": peers.auth,
        "history": peers.history,
        "callbacks": peers.callbacks,
        "catalog": peers.catalog,
    }
    guards: dict[str, Callable[[Handler], Handler]] = {
        erasures.PATH: lambda handler: erasures.guard(handler, peers.auth),
        "/api/v2/channels/{}/providers/{}": channels.guard,
    }
    relayed = tuple(
        replace(route, handler=guards[route.path](route.handler)) if route.path in guards else route
        for route in relay.routes(owners)
    )
    document = Document(own, owners, relay.RELAYED, settings.public_url, time.monotonic)
    reader = reader_page.Reader()
    pages = (
        Route("GET", "/openapi.json", Right.OPEN, document.json, params=LANG),
        Route("GET", "/docs", Right.OPEN, reader.page, params=LANG),
        *(Route("GET", path, Right.OPEN, reader.file) for path in reader_page.PATHS),
    )
    return Table((*own, *relayed, *pages))


def _show_queues(service: Service, broker: Broker, backpressure: Backpressure) -> None:
    """Show in the metrics what waits at the broker, and whether it takes anything."""
    waiting = Gauge("imsg_queue_depth", "Jobs and parts that wait at the broker", ("method",), registry=service.metrics)
    by_lane = Gauge("imsg_lane_depth", "Those of one lane", ("method", "lane"), registry=service.metrics)
    consuming = Gauge("imsg_queue_consumers", "Senders that consume a channel", ("method",), registry=service.metrics)
    for method in broker.topology.methods:
        waiting.labels(method).set_function(partial(backpressure.count_waiting, method))
        consuming.labels(method).set_function(partial(backpressure.count_consumers, method))
        for lane in Lane:
            by_lane.labels(method, lane.value).set_function(partial(backpressure.count_waiting, method, lane))
    blocked = Gauge("imsg_broker_blocked", "1 while an alarm keeps the broker from taking", registry=service.metrics)
    blocked.set_function(lambda: float(bool(broker.blocked)))


def _sending_routes(senders: _Senders) -> tuple[Route, ...]:
    handler = senders.handler
    return (
        Route("POST", "/api/send", Right.SENDER, handler.send_v1, needs_body=True, fields=SEND),
        Route("POST", "/api/v2/messages", Right.SENDER, handler.send, needs_body=True, fields=MESSAGE),
        Route("POST", "/api/v2/messages/check", Right.USER, senders.checker.check, needs_body=True, fields=MESSAGE),
        Route("POST", "/api/v2/resend", Right.SENDER, handler.resend, needs_body=True, fields=RESEND),
        Route("POST", "/api/v2/dead/{}/resend", Right.ADMIN, handler.resend, fields=RESEND_DEAD),
    )


def _channel_routes(channels: Channels, senders: _Senders) -> tuple[Route, ...]:
    test = channels.guard(senders.handler.test)
    return (
        Route("GET", "/api/v2/channels", Right.USER, channels.list),
        Route("PATCH", "/api/v2/channels/{}", Right.ADMIN, channels.pause, needs_body=True, fields=PAUSE),
        Route("POST", "/api/v2/channels/{}/providers/{}/test", Right.ADMIN, test, needs_body=True, fields=TEST),
        Route("GET", "/api/v2/templates", Right.USER, senders.templates.list),
    )


def _follower_routes(followers: FollowerRequests) -> tuple[Route, ...]:
    path = "/api/v2/followers"
    return (
        Route("GET", path, Right.ADMIN, followers.list, params=FOLLOWERS),
        Route("POST", f"{path}/bind", Right.ADMIN, followers.bind, needs_body=True, fields=BIND),
        Route("GET", f"{path}/bind/{{}}", Right.ADMIN, followers.show_binding),
        Route("POST", f"{path}/bind/{{}}/confirm", Right.ADMIN, followers.confirm),
        Route("POST", f"{path}/{{}}/renew", Right.ADMIN, followers.renew),
        Route("DELETE", f"{path}/{{}}", Right.ADMIN, followers.revoke),
    )
