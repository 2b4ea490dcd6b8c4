"""The catalog's wiring: settings, the database and its tables, Redis, the broker, learning, the mirror, the API."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from prometheus_client import Gauge
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_broker.port import Unreachable
from imsg_catalog.consumer import ConsumerMetrics, SuppressionConsumer
from imsg_catalog.erasing import CatalogErasure, ErasedPeople
from imsg_catalog.groups.erasing import GroupErasure
from imsg_catalog.groups.store import Groups
from imsg_catalog.migrations import MIGRATIONS
from imsg_catalog.mirror import Mirror
from imsg_catalog.prices import Prices
from imsg_catalog.routes import RouteServices, api
from imsg_catalog.store import Store
from imsg_catalog.suppressions import Suppressions
from imsg_catalog.templates.service import Templates
from imsg_catalog.unsubscribing import UnsubscribePages
from imsg_contract.unsubscribing import PATH, derive_keys
from imsg_database.address import read_url
from imsg_database.database import connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_database.startup import wait_for_database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_people.erasing import Erasing
from imsg_people.tombstones import Digests, Tombstones
from imsg_rendering.renderer import Renderer
from imsg_runtime import redis
from imsg_runtime.key_strength import require_caller_keys
from imsg_runtime.presence import announce
from imsg_runtime.queue_lag import QueueLag
from imsg_runtime.settings import Common, PeerKeys, load
from imsg_runtime.watermark import Watermark
from imsg_web.callers import Apps, CallerCheck
from imsg_web.service import Service


class Settings(Common):
    """What the catalog reads."""

    database_url: str = ""
    """The database; empty: SQLite in the data folder, one file for each owner. It may hold a password."""
    data_dir: Path = Path("data")
    """The data folder: the SQLite files, and under `imsg up` everything else."""
    peer_keys: PeerKeys = PeerKeys()
    """The keys of the services that call this one, where each has a key of its own."""

    @property
    def store_url(self) -> str:
        """The database: the one named, else a file of the catalog's own in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'catalog.db'}"


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service; it calls no other. Raises StartError where a setting is wrong or missing."""
    del apps
    chosen = settings or load(Settings)
    require_caller_keys(chosen, chosen.peer_keys, "catalog")

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            yield await _open_parts(chosen, service, stack)

    return Service("catalog", chosen, opening)


async def _open_parts(settings: Settings, service: Service, stack: AsyncExitStack) -> ASGIApp:
    url = read_url(settings.store_url)
    await wait_for_database(partial(migrate, url, MIGRATIONS))
    database = await stack.enter_async_context(connect(url, DatabaseOptions("imsg-catalog", pool=4)))
    cache = await stack.enter_async_context(redis.connect(settings.redis_url))
    broker = await stack.enter_async_context(open_broker(settings.broker_url))
    store = Store(database)
    mirror = Mirror(cache, store, _now_ms)
    digests = Digests(settings.erasure_key)
    erased = ErasedPeople(cache, digests)
    suppressions = Suppressions(store, mirror, erased, broker, _now_ms)
    prices = Prices(database, cache, broker, _now_ms)
    groups = Groups(database, erased, broker, _now_ms)
    erase_members = GroupErasure(database, erased).erase
    renderer = await stack.enter_async_context(Renderer())
    templates = Templates(database, cache, broker, renderer, _now_ms)
    watermark = Watermark(_now_ms)
    service.check("broker", lambda: broker.ready)
    service.check("redis", lambda: cache.takes_writes)
    service.check("database", lambda: database.takes_writes)
    service.check("mirror", lambda: mirror.is_whole)
    service.watch(cache.watch(), "redis")
    service.watch(announce(cache, service.describe), "presence")
    service.watch(mirror.run(), "mirror")
    service.watch(prices.run(), "prices")
    erase = CatalogErasure(erased, store, mirror, [erase_members]).erase
    tombstones = Tombstones(cache, digests)
    erasing = Erasing("catalog", tombstones, watermark, erase, DatabaseUnavailable)
    service.watch(erasing.run(), "erasing")
    service.watch(templates.run(), "templates")
    queue = broker.topology.catalog
    lag = QueueLag(queue, lambda: broker.depth(queue), Unreachable, cache, registry=service.metrics, now_ms=_now_ms)
    service.watch(lag.run(service.stopping), "lag")
    learner = SuppressionConsumer(broker, suppressions, watermark, ConsumerMetrics(service.metrics), lag)
    service.watch(learner.run(service.stopping), "learn")
    whole = Gauge("imsg_catalog_mirror_whole", "1 while Redis has all suppressions", registry=service.metrics)
    whole.set_function(lambda: float(mirror.is_whole))
    guard = CallerCheck("catalog", settings.service_key, settings.peer_keys)
    made = api(RouteServices(suppressions, prices, groups, _now_ms), templates, guard)
    made.mount(PATH.rstrip("/"), UnsubscribePages(suppressions, derive_keys(settings.erasure_key)))
    return made


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
