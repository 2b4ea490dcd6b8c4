"""Scheduler's wiring: settings, the database and its table, Redis, the broker, the consumer, releases, the API."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_database.address import is_sqlite, read_url
from imsg_database.database import connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_database.startup import wait_for_database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_delivery.claims.cancelling import ClaimsCanceller
from imsg_limits.quota.charging import Quota
from imsg_limits.windows import PublishedWindows
from imsg_people.erasing import Erasing
from imsg_people.tombstones import Digests, Tombstones
from imsg_runtime import redis
from imsg_runtime.key_strength import require_caller_keys
from imsg_runtime.presence import announce
from imsg_runtime.settings import Common, PeerKeys, load
from imsg_runtime.watermark import Watermark
from imsg_scheduler.audit import Audit
from imsg_scheduler.cancel_settling import CancelSettler
from imsg_scheduler.cancelling import Canceller
from imsg_scheduler.clock import RedisClock
from imsg_scheduler.consumer import ScheduleConsumer
from imsg_scheduler.erasing import ScheduleErasure
from imsg_scheduler.fallbacks import Fallbacks
from imsg_scheduler.migrations import MIGRATIONS
from imsg_scheduler.mirror import CancelMirror
from imsg_scheduler.release import ReleaseMetrics, Releaser
from imsg_scheduler.routes import RouteServices, api
from imsg_scheduler.schedule import Schedule
from imsg_scheduler.store import Store
from imsg_scheduler.users import Users
from imsg_web import service_client
from imsg_web.callers import Apps, CallerCheck
from imsg_web.service import Service


def _now() -> datetime:
    return datetime.now(UTC)


class Settings(Common):
    """What scheduler reads."""

    database_url: str = ""
    """The database; empty: SQLite in the data folder, one file for each owner. It may hold a password."""
    data_dir: Path = Path("data")
    """The data folder: the SQLite files, and under `imsg up` everything else."""
    auth_url: str = "http://auth:8000"
    """The URL of auth."""
    history_url: str = "http://history:8000"
    """The URL of history."""
    peer_keys: PeerKeys = PeerKeys()
    """The keys of the services that call this one, where each has a key of its own."""

    @property
    def store_url(self) -> str:
        """The database: the one named, else a file of scheduler's own in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'scheduler.db'}"


def app(settings: Settings | None = None, apps: Apps | None = None, *, now: Callable[[], datetime] = _now) -> Service:
    """Make the service, whose own clock is `now`. Raises StartError where a setting is wrong or missing."""
    chosen = settings or load(Settings)
    require_caller_keys(chosen, chosen.peer_keys, "scheduler")

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            yield await _open_parts(chosen, apps or {}, service, now, stack)

    return Service("scheduler", chosen, opening)


async def _open_parts(
    settings: Settings, apps: Apps, service: Service, now: Callable[[], datetime], stack: AsyncExitStack
) -> ASGIApp:
    url = read_url(settings.store_url)
    await wait_for_database(partial(migrate, url, MIGRATIONS))
    database = await stack.enter_async_context(connect(url, DatabaseOptions("imsg-scheduler", pool=5)))
    cache = await stack.enter_async_context(redis.connect(settings.redis_url))
    broker = await stack.enter_async_context(open_broker(settings.broker_url))
    auth = await stack.enter_async_context(service_client.connect(settings.auth_url, settings.service_key, apps))
    history = await stack.enter_async_context(service_client.connect(settings.history_url, settings.service_key, apps))
    store = Store(database, is_postgres=not is_sqlite(url))
    tombstones = Tombstones(cache, Digests(settings.erasure_key))
    erasure = ScheduleErasure(tombstones, store)
    watermark = Watermark(lambda: round(now().timestamp() * 1_000))
    users, clock = Users(cache, auth), RedisClock(cache)
    mirror = CancelMirror(cache, store, clock)
    settling = CancelSettler(broker, store, mirror, ClaimsCanceller(cache), Quota(cache, UTC))
    canceller = Canceller(store, settling, history, clock)
    windows = PublishedWindows(cache)
    releaser = Releaser(broker, cache, store, users, clock, windows=windows, metrics=ReleaseMetrics(service.metrics))
    fallbacks = Fallbacks(
        broker, store, users, clock, windows=PublishedWindows(cache), quota=Quota(cache, UTC), settler=settling
    )
    service.check("broker", lambda: broker.ready)
    service.check("redis", lambda: cache.takes_writes)
    service.check("database", lambda: database.takes_writes)
    service.watch(cache.watch(), "redis")
    service.watch(announce(cache, service.describe), "presence")
    erasing = Erasing("scheduler", tombstones, watermark, erasure.erase, DatabaseUnavailable)
    service.watch(erasing.run(), "erasing")
    consumer = ScheduleConsumer(broker, store, erasure, clock, watermark, windows=windows)
    service.watch(consumer.run(service.stopping), "consumer")
    service.watch(releaser.run(service.stopping), "release")
    service.watch(mirror.run(), "mirror of cancels")
    service.watch(canceller.run(), "cancels")
    service.watch(fallbacks.run(service.stopping), "fallbacks")
    service.watch(fallbacks.consume(service.stopping), "outcomes_of_legs")
    guard = CallerCheck("scheduler", settings.service_key, settings.peer_keys)
    schedule = Schedule(broker, store, history, clock)
    return api(RouteServices(schedule, canceller, Audit(broker, now), clock), guard)
