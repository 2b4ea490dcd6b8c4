"""The gateway's wiring: its settings, and its parts in order."""

import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
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
from imsg_gateway.accept import Acceptor
from imsg_gateway.app import GatewayApp, make_app
from imsg_gateway.attachments import Files
from imsg_gateway.authentication import Authenticator
from imsg_gateway.channels import Channels
from imsg_gateway.check import Checker
from imsg_gateway.costs import CostEstimator
from imsg_gateway.draft_reader import DraftReader
from imsg_gateway.erasures import ErasureGuard
from imsg_gateway.exports import Exports
from imsg_gateway.failed_suppressions import FailedSuppressions
from imsg_gateway.followers import Followers
from imsg_gateway.groups import Groups
from imsg_gateway.idempotency import IdempotencyKeys
from imsg_gateway.metrics import RequestMetrics
from imsg_gateway.next_due import NextDue
from imsg_gateway.openapi.document import Document
from imsg_gateway.providers import Providers
from imsg_gateway.published_addresses import PublishedAddresses
from imsg_gateway.published_names import PublishedNames
from imsg_gateway.reader_page import Reader
from imsg_gateway.recipients import Recipients
from imsg_gateway.relay import Owner, Relay
from imsg_gateway.resend import Resends
from imsg_gateway.resend_lock import ResendLocks
from imsg_gateway.routed_limits import RoutedLimits
from imsg_gateway.routes.dependencies import RouteServices
from imsg_gateway.send import SendHandler
from imsg_gateway.status import Status
from imsg_gateway.surroundings import Surroundings
from imsg_gateway.template_sends import TemplateSends
from imsg_gateway.templates import PublishedTemplates
from imsg_gateway.v1 import refuse_path
from imsg_limits.admission import MAX_PER_USER, Admission
from imsg_limits.backpressure import Backpressure
from imsg_limits.caps import Caps
from imsg_limits.lag_throttle import LagThrottle
from imsg_limits.quota import Counters, Quota
from imsg_limits.windows import PublishedWindows
from imsg_people.tombstones import NO_KEY, Digests
from imsg_rendering.renderer import Renderer
from imsg_runtime import redis
from imsg_runtime.key_strength import require_strong
from imsg_runtime.presence import announce
from imsg_runtime.published_prices import PublishedPrices
from imsg_runtime.settings import Common, Keys, StartError, load, variable
from imsg_web import service_client
from imsg_web.callers import Apps
from imsg_web.clients import Clients
from imsg_web.service import Service
from imsg_web.service_client import Peer


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
    scheduler_url: str = "http://scheduler:8000"
    """The URL of scheduler, which keeps what is to be sent later."""
    token_key: Keys = ()
    """Signs the tokens of users. The first key signs, all verify."""
    max_recipients: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """The most recipients of one request."""
    max_attachment_bytes: Annotated[int, Field(ge=0, le=11 * 1024 * 1024)] = 10 * 1024 * 1024
    """The most bytes that the attachments of one mail have together."""
    max_depth: Annotated[int, Field(ge=1)] = 1_000_000
    """How many jobs of a channel may wait before the gateway refuses more with `Retry-After`."""
    disk_free_gib: Annotated[int, Field(ge=1)] = 2
    """The GiB that have to be free on the disk of the stores; with less, `imsg status` and the alert `ImsgDiskShort`
    report it. A rewrite of Valkey's log, and a merge of SQLite's, need as much as the files have."""
    backup_hours: Annotated[int, Field(ge=0)] = 26
    """How old, in hours, the newest backup of `make backup` may be. With an older one, or none where `public_url` is
    set, `imsg status` and the alert `ImsgBackupMissing` report it. 0: backups are made by other means."""
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
            raise StartError("{0} is not set; give the gateway the same one that auth has.", variable(name))
        require_strong(chosen, name, keys=getattr(chosen, name))

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            yield await _open_parts(chosen, apps or {}, service, stack)

    return Service("gateway", chosen, opening, refuse_path)


class _Peers(NamedTuple):
    """The services that the gateway asks."""

    auth: Peer
    history: Peer
    wechat: Peer
    catalog: Peer
    callbacks: Peer
    scheduler: Peer


async def _open_parts(settings: Settings, apps: Apps, service: Service, stack: AsyncExitStack) -> GatewayApp:
    store = await stack.enter_async_context(redis.connect(settings.redis_url))
    broker = await stack.enter_async_context(open_broker(settings.broker_url, probes_alarms=True))
    urls = (
        settings.auth_url,
        settings.history_url,
        settings.wechat_url,
        settings.catalog_url,
        settings.callbacks_url,
        settings.scheduler_url,
    )
    connections = [service_client.connect(url, settings.service_key, apps) for url in urls]
    peers = _Peers(*[await stack.enter_async_context(connection) for connection in connections])
    owners: Mapping[Owner, Peer] = {
        "auth": peers.auth,
        "history": peers.history,
        "catalog": peers.catalog,
        "callbacks": peers.callbacks,
        "scheduler": peers.scheduler,
        "wechat": peers.wechat,
    }
    zone = ZoneInfo(settings.timezone)
    quota = Quota(store, zone)
    authenticator = Authenticator(quota, peers.auth, settings.token_key, zone)
    backpressure = Backpressure(broker, settings.max_depth)
    providers = Providers(store, broker.topology.methods)
    lag_throttle = LagThrottle(time.monotonic, MAX_PER_USER)
    caps = Caps(store, Digests(settings.erasure_key or NO_KEY).of)
    names = PublishedNames(store)
    next_due = NextDue(store)
    templates, channels = PublishedTemplates(store), Channels(store, broker, backpressure, names, next_due)
    prices = PublishedPrices(store)
    costs = CostEstimator(prices, channels.providers, lambda: datetime.now(zone).date())
    windows = PublishedWindows(store)
    acceptor = Acceptor(
        broker, peers.history, quota, backpressure, providers, caps=caps, costs=costs, windows=windows,
        next_due=next_due,
    )  # fmt: skip
    limits = RoutedLimits(store, templates, channels.providers)
    renderer = await stack.enter_async_context(Renderer())
    drafts = _make_drafts(settings, store, peers, limits, names, templates=TemplateSends(store, renderer))
    resends = Resends(peers.history, authenticator, drafts, ResendLocks(store))
    keys, admission = IdempotencyKeys(store), Admission(lag_throttle)
    clients = Clients(settings.trusted_proxies)
    surroundings = Surroundings(
        store, settings.public_url, disk_free_gib=settings.disk_free_gib, backup_hours=settings.backup_hours, zone=zone
    )
    status = Status(store, broker, channels, owners, surroundings, zone=zone)
    services = RouteServices(
        authenticator=authenticator,
        clients=clients,
        sending=SendHandler(drafts, resends, acceptor, keys, new_id, admission=admission),
        checker=Checker(drafts, limits, providers, peers.auth, store, costs=costs, windows=windows),
        channels=channels,
        status=status,
        erasures=ErasureGuard(peers.auth),
        failed_suppressions=FailedSuppressions(peers.history, peers.catalog),
        relay=Relay(owners),
        exports=Exports(owners),
        document=Document(owners, settings.public_url, time.monotonic),
        reader=Reader(),
    )
    service.check("broker", lambda: broker.ready)
    service.check("redis", lambda: store.takes_writes)
    service.watch(store.watch(), "redis")
    service.watch(announce(store, service.describe), "presence")
    service.watch(surroundings.watch(), "surroundings")
    service.watch(backpressure.watch(), "backpressure")
    service.watch(providers.watch(), "providers")
    service.watch(lag_throttle.watch(), "lag_throttle")
    service.watch(prices.watch(), "prices")
    service.watch(costs.watch(), "costs")
    service.watch(windows.watch(), "windows")
    service.watch(authenticator.key_usage.watch(), "key_usage")
    late = Gauge("imsg_overdue_seconds", "How late the oldest job is", ("method",), registry=service.metrics)
    service.watch(next_due.watch(broker.topology.methods, late), "next_due")
    wrong = Gauge("imsg_finding", "1 for what is not well", ("part", "name", "level"), registry=service.metrics)
    complete = Gauge("imsg_findings_complete", "1 while Redis says what it knows of them", registry=service.metrics)
    service.watch(status.watch(wrong, complete), "status")
    _show_queues(service, broker, backpressure, settings.max_depth)
    return GatewayApp(make_app(services), RequestMetrics(service.metrics, time.perf_counter), clients)


def _make_drafts(
    settings: Settings,
    store: redis.Redis,
    peers: _Peers,
    limits: RoutedLimits,
    names: PublishedNames,
    *,
    templates: TemplateSends,
) -> DraftReader:
    async def list_accounts() -> Collection[str]:
        return sorted({*settings.account_names, *await names.list_providers("wechat")})

    followers, published = Followers(store, list_accounts), PublishedAddresses(store)
    recipients = Recipients(peers.auth, followers, published, Counters(store), settings.max_recipients)
    groups, files = Groups(peers.catalog, settings.max_recipients), Files(settings.max_attachment_bytes)
    return DraftReader(recipients, files, limits, names, list_accounts, groups=groups, templates=templates)


def _show_queues(service: Service, broker: Broker, backpressure: Backpressure, max_depth: int) -> None:
    """Show in the metrics what waits at the broker, and whether it takes anything."""
    waiting = Gauge("imsg_queue_depth", "Jobs and parts that wait at the broker", ("method",), registry=service.metrics)
    by_lane = Gauge("imsg_lane_depth", "Those of one lane", ("method", "lane"), registry=service.metrics)
    consuming = Gauge("imsg_queue_consumers", "Senders that consume a channel", ("method",), registry=service.metrics)
    for method in broker.topology.methods:
        waiting.labels(method).set_function(partial(backpressure.count_waiting, method))
        consuming.labels(method).set_function(partial(backpressure.count_consumers, method))
        for lane in Lane:
            by_lane.labels(method, lane.value).set_function(partial(backpressure.count_waiting, method, lane))
    limit = Gauge("imsg_queue_limit", "Jobs of a channel from which on sends are refused", registry=service.metrics)
    limit.set(max_depth)
    blocked = Gauge("imsg_broker_blocked", "1 while an alarm keeps the broker from taking", registry=service.metrics)
    blocked.set_function(lambda: float(bool(broker.blocked)))
