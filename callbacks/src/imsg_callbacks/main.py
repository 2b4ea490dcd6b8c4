"""Callbacks' wiring: settings, the database, the broker; taking events in, dispatcher them, the API."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json
from sqlalchemy import text
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_broker.port import Unreachable
from imsg_callbacks.api import api
from imsg_callbacks.audit import Audit
from imsg_callbacks.channel_watch import ChannelWatch
from imsg_callbacks.consumer import ConsumerMetrics, EventConsumer
from imsg_callbacks.delivery_log import DeliveryLog
from imsg_callbacks.dispatcher import Dispatcher, DispatcherMetrics
from imsg_callbacks.endpoint_client import open_endpoint_client
from imsg_callbacks.endpoints import Endpoints
from imsg_callbacks.erasure import EventErasure
from imsg_callbacks.event_reader import EventReader
from imsg_callbacks.listeners import Listeners
from imsg_callbacks.maintenance import Maintenance, MaintenanceMetrics
from imsg_callbacks.migrations import MIGRATIONS
from imsg_callbacks.records import Endpoint, LoggedEvent
from imsg_callbacks.routes.dependencies import RouteServices
from imsg_callbacks.times import rfc3339
from imsg_callbacks.vault import Unreadable, Vault
from imsg_contract.ids import new_id
from imsg_contract.topology import RECORDED_BY_ALL, recorded_key
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_database.startup import wait_for_database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_people.tombstones import Digests
from imsg_runtime import redis
from imsg_runtime.key_strength import require_caller_keys, require_strong
from imsg_runtime.logs import logger
from imsg_runtime.presence import announce
from imsg_runtime.queue_lag import QueueLag
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.settings import Common, Keys, Networks, PeerKeys, StartError, load, variable
from imsg_runtime.watermark import Watermark
from imsg_web import service_client
from imsg_web.callers import Apps, CallerCheck
from imsg_web.service import Service

__all__ = ["CallbackSettings", "DatabaseUnavailable", "Settings", "app", "count_unreadable", "write_disabled"]

log = logger(__name__)

PING_EVERY_S = 2.0


class CallbackSettings(BaseModel):
    """The destinations of callbacks."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, extra="forbid")

    allow: Networks = ()
    """Your own networks that callbacks may call too, at any port. Other private networks are refused."""


class Settings(Common):
    """What callbacks reads."""

    database_url: str = "sqlite:///callbacks.db"
    """The database. It may hold a password."""
    auth_url: str = "http://auth:8000"
    """The URL of auth."""
    secret_key: Keys = ()
    """Encrypts the secrets that are kept: those of callback endpoints and of accounts at providers. The first key
    encrypts, all decrypt. Keep it with the backups."""
    peer_keys: PeerKeys = PeerKeys()
    """The keys of the services that call this one, where each has a key of its own."""
    callbacks: CallbackSettings = CallbackSettings()


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    loaded = settings or load(Settings)
    require_caller_keys(loaded, loaded.peer_keys, "callbacks")
    if not loaded.secret_key:
        raise StartError(
            "{0} is not set; give it a long random value, such as `openssl rand -hex 32` makes, and "
            "keep it with the backups: endpoints' secrets can't be read without it.",
            variable("secret_key"),
        )
    require_strong(loaded, "secret_key", keys=loaded.secret_key)
    read_url(loaded.database_url)

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            yield await _open_parts(loaded, apps or {}, service, stack)

    return Service("callbacks", loaded, opening)


async def count_unreadable(settings: Settings) -> int:
    """Count the endpoints whose secrets none of the keys opens; nothing is changed. Raises DatabaseUnavailable."""
    async with connect(
        read_url(settings.database_url), DatabaseOptions("imsg-callbacks", pool=1, busy_timeout_s=2)
    ) as database:
        return await Endpoints(database, Vault(settings.secret_key), _now).count_unreadable()


async def _open_parts(settings: Settings, apps: Apps, service: Service, stack: AsyncExitStack) -> ASGIApp:
    url = read_url(settings.database_url)
    await wait_for_database(partial(migrate, url, MIGRATIONS), patience_s=math.inf)
    database = await stack.enter_async_context(
        connect(url, DatabaseOptions("imsg-callbacks", pool=5, busy_timeout_s=10))
    )
    vault = Vault(settings.secret_key)
    endpoints = Endpoints(database, vault, _now)
    await _reseal(endpoints)
    store = await stack.enter_async_context(redis.connect(settings.redis_url))
    broker = await stack.enter_async_context(open_broker(settings.broker_url))
    auth = await stack.enter_async_context(service_client.connect(settings.auth_url, settings.service_key, apps))
    client = await stack.enter_async_context(open_endpoint_client(settings.callbacks.allow))
    deliveries = DeliveryLog(database, _now, write_disabled)
    dispatcher = Dispatcher(deliveries, endpoints, client, _now, DispatcherMetrics(service.metrics))
    reader = EventReader(database, vault, service.stopping)
    listeners = Listeners(database, auth, _now)

    def wake() -> None:
        dispatcher.wake()
        reader.wake()

    digests = Digests(settings.erasure_key)
    erasure = EventErasure(database, store, digests, Watermark(_now), _now)
    queue = broker.topology.callbacks
    lag = QueueLag(queue, lambda: broker.depth(queue), Unreachable, store, registry=service.metrics, now_ms=_now)
    consumer_metrics = ConsumerMetrics(service.metrics)
    consumer = EventConsumer(broker, database, erasure, dispatcher, _now, reader.wake, consumer_metrics, lag)
    channels = ChannelWatch(database, store, broker.topology.methods, _now, wake)
    maintenance = Maintenance(database, listeners, erasure, _now, wake, MaintenanceMetrics(service.metrics))
    health = _Health()
    service.check("broker", lambda: broker.ready)
    service.check("database", lambda: health.has_database and database.takes_writes)
    for name, work in (
        ("consumer", consumer.run),
        ("dispatcher", dispatcher.run),
        ("channels", channels.run),
        ("maintenance", maintenance.run),
        ("reader", reader.watch),
        ("lag", lag.run),
    ):
        service.watch(work(service.stopping), name)
    service.watch(health.watch(database, service.stopping), "health")
    service.watch(announce(store, service.describe), "presence")

    async def find_as_of() -> str | None:
        try:
            recorded = await store.call("HGET", recorded_key(broker.topology.history), RECORDED_BY_ALL)
        except (RedisUnavailable, RedisRefused):
            return None
        return None if recorded is None or lag.as_of_ms is None else rfc3339(min(int(recorded), lag.as_of_ms))

    services = RouteServices(
        database, endpoints, deliveries, dispatcher, client, listeners, reader, digests, Audit(broker), _now, find_as_of
    )
    return api(services, CallerCheck("callbacks", settings.service_key, settings.peer_keys))


async def _reseal(endpoints: Endpoints) -> None:
    """Re-encrypt every secret under the first key. Raises StartError if a key is missing."""
    try:
        if count := await endpoints.reseal():
            log.info("secrets_resealed", endpoints=count)
    except Unreadable as error:
        raise StartError(
            "{0} has changed, and the previous key is not in its list: endpoints' secrets can't be "
            "read; write both with a comma between them, the new one first.",
            variable("secret_key"),
        ) from error
    except DatabaseUnavailable as error:
        log.warning("secrets_not_resealed", why=str(error)[:300])


class _Health:
    """Whether the database answers."""

    def __init__(self) -> None:
        self.has_database = False

    async def watch(self, database: Database, stopping: asyncio.Event) -> None:
        """Ping the database every 2 s until `stopping`."""
        while not stopping.is_set():
            try:
                async with database.reading() as connection:
                    await connection.execute(text("SELECT 1"))
                self.has_database = True
            except DatabaseUnavailable:
                self.has_database = False
            await asyncio.sleep(PING_EVERY_S)


def write_disabled(endpoint: Endpoint, why: str, now: int) -> LoggedEvent:
    """Make the `callback.disabled` event for the owner of an endpoint; `now` is in Unix milliseconds."""
    name = f"evt_{new_id()}"
    data = {
        "callback": endpoint.id,
        "url": endpoint.url,
        "why": why,
        "last_error": endpoint.last_error,
        "failing_since": None if endpoint.failing_since is None else rfc3339(endpoint.failing_since),
    }
    body = {"id": name, "type": "callback.disabled", "timestamp": rfc3339(now), "data": data}
    return LoggedEvent(name, "callback.disabled", endpoint.user_id, None, to_json(body).decode())


def _now() -> int:
    return time.time_ns() // 1_000_000
