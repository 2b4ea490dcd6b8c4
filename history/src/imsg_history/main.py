"""Wires history: settings, the database, the broker, the consumer, maintenance, the API."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_broker.port import Unreachable
from imsg_database.address import is_sqlite, read_url
from imsg_database.startup import wait_for_database
from imsg_database.unavailable import DatabaseUnavailable, describe
from imsg_history import consumer, database, event_relay, maintenance, stuck, writer
from imsg_history.api import api
from imsg_history.attachments import Attachments
from imsg_history.audit import Audit
from imsg_history.consumer import HistoryConsumer
from imsg_history.content_retention import ContentRetention
from imsg_history.database import Database
from imsg_history.dead_letters import DeadLetters
from imsg_history.eraser import Eraser
from imsg_history.erasure_progress import ErasureProgress
from imsg_history.erasures import Erasures
from imsg_history.event_relay import EventRelay
from imsg_history.expiry import PausedExpiry
from imsg_history.exports import Exports
from imsg_history.ids import from_ms, to_ms
from imsg_history.latency_stats import LatencyStatistics
from imsg_history.maintenance import Maintenance
from imsg_history.migrate import migrate
from imsg_history.open_messages import OpenMessages
from imsg_history.query import MessageQuery
from imsg_history.recipients import Recipients
from imsg_history.redis_erasure import RedisErasure
from imsg_history.replies import Replies
from imsg_history.reply_matching import ReplyMatcher
from imsg_history.report_builder import ReportBuilder
from imsg_history.reports import Reports
from imsg_history.request_list import RequestList
from imsg_history.resending import Resends
from imsg_history.routes.dependencies import RouteServices
from imsg_history.stats import Statistics
from imsg_history.stuck import StuckJobs
from imsg_history.tombstones import TombstoneStore
from imsg_history.user_stats import UserStatistics
from imsg_history.writer import BatchWriter
from imsg_people.tombstones import Digests, Tombstones
from imsg_rendering.renderer import Renderer
from imsg_runtime import redis
from imsg_runtime.key_strength import require_caller_keys
from imsg_runtime.logs import logger
from imsg_runtime.presence import announce
from imsg_runtime.published_prices import PublishedPrices
from imsg_runtime.queue_lag import QueueLag
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.settings import Common, PeerKeys, StartError, load, variable
from imsg_web.callers import Apps, CallerCheck
from imsg_web.service import Service

log = logger(__name__)

PING_EVERY_S = 2.0


class MaintenanceSettings(BaseModel):
    """How often maintenance runs, and after how long a message without an outcome is stuck."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="ignore")

    every_s: Annotated[float, Field(gt=0)] = 60.0
    """How many seconds pass between two runs of history's maintenance."""
    lost_after_s: Annotated[float, Field(gt=0)] = 900.0
    """After how many seconds without an outcome a message is published again."""


class Settings(Common):
    """What history reads."""

    database_url: str = "sqlite:///history.db"
    """The database. It may hold a password."""
    peer_keys: PeerKeys = PeerKeys()
    """The keys of the services that call this one, where each has a key of its own."""
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    """How many days history keeps a message."""
    keep_content_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    """How many days of these history keeps subjects, texts, files and the bodies of dead letters."""
    keep_audit_days: Annotated[int, Field(ge=1, le=36_500)] = 365
    """How many days history keeps a line of the audit. Where `roles.sh` made the table, a year at least."""
    tombstones_file: Path | None = None
    """The file of the tombstones, outside the backups: a restored backup then still knows who was erased. Unset: Redis
    alone keeps them."""
    sweep: MaintenanceSettings = MaintenanceSettings()


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    del apps  # history calls no other service
    chosen = settings or load(Settings)
    url = read_url(chosen.database_url)
    require_caller_keys(chosen, chosen.peer_keys, "history")

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            yield await _open_parts(chosen, url, service, stack)

    return Service("history", chosen, opening, is_background=True)


async def _open_parts(settings: Settings, url: URL, service: Service, stack: AsyncExitStack) -> ASGIApp:
    if is_sqlite(url):
        await _create_sqlite_tables(url)
    store = await stack.enter_async_context(database.connect(url))
    broker = await stack.enter_async_context(open_broker(settings.broker_url))
    retention = timedelta(days=settings.retention_days)
    zone = ZoneInfo(settings.timezone)
    digests = Digests(settings.erasure_key)
    connection = await stack.enter_async_context(redis.connect(settings.redis_url))
    tombstones = TombstoneStore(store, Tombstones(connection, digests), settings.tombstones_file)
    redis_erasure = RedisErasure(connection, store, digests)
    progress = ErasureProgress(store, tombstones, Eraser(store, digests), redis_erasure, connection, broker, _now)
    content_retention = ContentRetention(store, settings.keep_content_days)
    if is_sqlite(url):
        await _prepare_tombstones(tombstones, redis_erasure)
    relay = EventRelay(store, broker, event_relay.RelayMetrics(service.metrics))
    reply_matcher = ReplyMatcher(
        store, lambda suppression: broker.publish(suppression.encode(), broker.topology.suppressions), relay.publish
    )
    writer_metrics = writer.WriterMetrics(service.metrics)
    queue = broker.topology.history
    lag = QueueLag(
        queue,
        lambda: broker.depth(queue),
        Unreachable,
        connection,
        registry=service.metrics,
        now_ms=lambda: to_ms(_now()),
    )
    batch_writer = BatchWriter(
        store,
        _now,
        retention,
        writer_metrics,
        digests,
        wake=relay.wake,
        reply_matcher=reply_matcher,
        report_oldest=lambda oldest_at: lag.record(to_ms(oldest_at)),
        zone=zone,
    )
    history_consumer = HistoryConsumer(broker, batch_writer, consumer.ConsumerMetrics(service.metrics))
    expiry = PausedExpiry(store, connection, batch_writer, broker.topology.methods, _now)
    lost_after = timedelta(seconds=settings.sweep.lost_after_s)
    stuck_jobs = StuckJobs(broker, store, _now, lost_after, stuck.StuckMetrics(service.metrics))
    keep_audit = timedelta(days=settings.keep_audit_days)
    schedule = maintenance.Schedule(timedelta(seconds=settings.sweep.every_s), retention, keep_audit)
    maintenance_metrics = maintenance.MaintenanceMetrics(service.metrics)
    periodic = Maintenance(
        stuck_jobs, store, _now, store.now, schedule, maintenance_metrics, content_retention, reply_matcher
    )

    prices = PublishedPrices(connection)
    report_builder = ReportBuilder(store, zone, _now, prices.fetch)

    async def work() -> None:
        """Migrate the tables once the database answers; then consume, and run maintenance."""
        await wait_for_database(
            lambda: migrate(url, _now()), patience_s=math.inf, unavailable=(DatabaseUnavailable, SQLAlchemyError)
        )
        await store.ping()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(progress.run(service.stopping))
            tasks.create_task(history_consumer.run(service.stopping))
            tasks.create_task(periodic.run(service.stopping))
            tasks.create_task(expiry.run(service.stopping))
            tasks.create_task(relay.run(service.stopping))
            tasks.create_task(report_builder.run(service.stopping))
            tasks.create_task(lag.run(service.stopping))
            tasks.create_task(_ping_database(store, service.stopping))

    service.check("broker", lambda: broker.ready)
    service.check("database", lambda: store.available and store.takes_writes)
    service.watch(work(), "work")
    service.watch(prices.watch(), "prices")
    service.watch(announce(connection, service.describe), "presence")
    services = _make_services(
        store,
        zone,
        renderer=await stack.enter_async_context(Renderer()),
        requests=RequestList(store, _now, service.stopping),
        erasures=Erasures(store, tombstones, digests, _now, progress.wake),
        reports=Reports(store, zone, _now, report_builder.wake),
        exports=Exports(store, _now, report_builder.wake, _find_audit_key(settings)),
        prices=prices,
        find_as_of=lambda: from_ms(lag.as_of_ms),
    )
    return api(services, CallerCheck("history", settings.service_key, settings.peer_keys))


def _find_audit_key(settings: Settings) -> bytes:
    """Return the key of addresses' digests in the audit; empty where there is none."""
    return settings.erasure_key[0].get_secret_value().encode() if settings.erasure_key else b""


def _make_services(
    store: Database,
    zone: ZoneInfo,
    *,
    renderer: Renderer,
    requests: RequestList,
    erasures: Erasures,
    reports: Reports,
    exports: Exports,
    prices: PublishedPrices,
    find_as_of: Callable[[], datetime | None],
) -> RouteServices:
    """Make the services that the routes call."""
    return RouteServices(
        MessageQuery(store, renderer),
        requests,
        Replies(store),
        Statistics(store, zone),
        LatencyStatistics(store),
        UserStatistics(store),
        Attachments(store),
        Resends(store),
        OpenMessages(store),
        Recipients(store),
        DeadLetters(store),
        erasures,
        reports,
        Audit(store, _now),
        exports,
        prices,
        _now,
        find_as_of,
    )


async def _prepare_tombstones(tombstones: TombstoneStore, redis_erasure: RedisErasure) -> None:
    """Synchronize the tombstones before anything is sent: the data folder may be a restored backup."""
    try:
        await redis_erasure.forget_backup()
        await tombstones.synchronize()
    except (DatabaseUnavailable, RedisUnavailable, RedisRefused) as error:
        log.warning("tombstones_delayed", why=str(error))


async def _create_sqlite_tables(url: URL) -> None:
    """Create SQLite's file and tables first. Raises StartError where the file can't be written."""
    try:
        await asyncio.to_thread(migrate, url, _now())
    except (DatabaseUnavailable, SQLAlchemyError) as error:
        raise StartError(
            "{0} can't be used as a database ({1}); let {2} name a file in a folder that can be written.",
            url.database,
            describe(error),
            variable("database_url"),
        ) from error


async def _ping_database(store: Database, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        await store.ping()
        await asyncio.sleep(PING_EVERY_S)


def _now() -> datetime:
    return datetime.now(UTC)
