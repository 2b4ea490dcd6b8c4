"""History's wiring: settings, the database and its tables, the broker, recording, sweeping, the API."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import ASGIApp

from imsg_history import database, keep, lost, record, sweep
from imsg_history.attachments import Attachments
from imsg_history.database import Database
from imsg_history.dead import DeadLetters
from imsg_history.find import Finder
from imsg_history.keep import Keeper
from imsg_history.lost import Lost
from imsg_history.migrate import migrate
from imsg_history.overview import Overviews
from imsg_history.record import Recorder
from imsg_history.resend import Resends
from imsg_history.routes import Parts, api
from imsg_history.stats import Counter
from imsg_history.sweep import Sweep
from imsg_shared.observe import logger
from imsg_shared.peers import Apps, Internal
from imsg_shared.service import Service, open_broker
from imsg_shared.settings import Common, PeerKeys, StartError, load, variable
from imsg_shared.strength import require_strong, require_strong_callers
from imsg_store.address import is_sqlite, read_url
from imsg_store.away import StoreAway, told

log = logger(__name__)

PING_EVERY_S = 2.0
LONGEST_WAIT_S = 5.0


class Sweeping(BaseModel):
    """How often it is swept, and after how long a message without any outcome may be called lost."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    every_s: Annotated[float, Field(gt=0)] = 60.0
    lost_after_s: Annotated[float, Field(gt=0)] = 900.0


class Settings(Common):
    """What history reads."""

    database_url: str = "sqlite:///history.db"
    peer_keys: PeerKeys = PeerKeys()
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 90
    sweep: Sweeping = Sweeping()


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service. Raises StartError where a setting is wrong or missing."""
    del apps  # history calls nobody
    chosen = settings or load(Settings)
    url = read_url(chosen.database_url)
    callers = chosen.peer_keys.by_service()
    if not (chosen.service_key or callers):
        raise StartError(f"{variable('service_key')} is not set; give history the same one that the gateway has.")
    require_strong(chosen, "service_key", keys=chosen.service_key)
    require_strong_callers(chosen, callers)

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with AsyncExitStack() as stack:
            yield await _opened(chosen, url, service, stack)

    return Service("history", chosen, opening)


async def _opened(settings: Settings, url: URL, service: Service, stack: AsyncExitStack) -> ASGIApp:
    if is_sqlite(url):
        await _make_tables(url)
    store = await stack.enter_async_context(database.connect(url))
    broker = await stack.enter_async_context(open_broker(settings.broker_url))
    retention = timedelta(days=settings.retention_days)
    keeper = Keeper(store, _now, retention, keep.Counts(service.metrics))
    recorder = Recorder(broker, keeper, record.Counts(service.metrics))
    lost_after = timedelta(seconds=settings.sweep.lost_after_s)
    searching = Lost(broker, store, _now, lost_after, lost.Counts(service.metrics))
    terms = sweep.Terms(timedelta(seconds=settings.sweep.every_s), retention)
    sweeper = Sweep(searching, store, _now, store.now, terms, sweep.Counts(service.metrics))

    async def work() -> None:
        """Bring the tables up to date, whenever the database can be reached; then record and sweep."""
        await _migrated(url)
        await store.ping()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(recorder.run(service.stopping))
            tasks.create_task(sweeper.run(service.stopping))
            tasks.create_task(_watch(store, service.stopping))

    service.check("broker", lambda: broker.ready)
    service.check("database", lambda: store.available)
    service.watch(work(), "work")
    parts = Parts(
        Finder(store),
        Overviews(store),
        Counter(store, ZoneInfo(settings.timezone)),
        Attachments(store),
        Resends(store),
        DeadLetters(store),
        _now,
    )
    return api(parts, Internal("history", settings.service_key, settings.peer_keys))


async def _make_tables(url: URL) -> None:
    """Make SQLite's file and tables before anything else. Raises StartError where it can't be written."""
    try:
        await asyncio.to_thread(migrate, url, _now())
    except (StoreAway, SQLAlchemyError) as error:
        raise StartError(
            f"{url.database} can't be used as a database ({told(error)}); "
            f"let {variable('database_url')} name a file in a folder that can be written."
        ) from error


async def _migrated(url: URL) -> None:
    wait_s = 0.2
    while True:
        try:
            await asyncio.to_thread(migrate, url, _now())
        except (StoreAway, SQLAlchemyError) as error:
            log.warning("database_away", why=told(error)[:300])
        else:
            return
        await asyncio.sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311  jitter
        wait_s = min(wait_s * 2, LONGEST_WAIT_S)


async def _watch(store: Database, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        await store.ping()
        await asyncio.sleep(PING_EVERY_S)


def _now() -> datetime:
    return datetime.now(UTC)
