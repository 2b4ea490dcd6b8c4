"""The fixtures of the worker's tests: a broker, a Redis for claims, a listener in history's place, a provider.

And those of the services with tables: a database, or one of each kind where a test says `on_both_databases`.
"""

import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imsg_broker.port import Broker
from imsg_broker.redis_streams.consumer import name_retry_set
from imsg_contract.topology import Topology
from imsg_contract.wire import Job
from imsg_database.address import read_url
from imsg_history.database import Database, connect
from imsg_history.migrate import migrate
from imsg_runtime.redis import Redis
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.brokers import open_ready
from imsg_testing.callbacks import Bench, open_bench
from imsg_testing.history import NOW
from imsg_testing.plugin import PATIENCE_S, Servers
from imsg_testing.servers import Postgres
from imsg_testing.worker_harness import HistoryListener, ScriptedProvider

BROKER_BOUNDS = (
    "imsg_broker.rabbitmq.broker.FIRST_CONNECT_S",
    "imsg_broker.rabbitmq.publisher.SLOT_TIMEOUT_S",
    "imsg_broker.rabbitmq.publisher.CONFIRM_TIMEOUT_S",
    "imsg_broker.rabbitmq.depth.MANAGEMENT_TIMEOUT_S",
    "imsg_broker.rabbitmq.amqp.CLOSE_TIMEOUT_S",
    "imsg_sms.providers.calls.CONNECT_TIMEOUT_S",
)
"""By these a RabbitMQ, or a provider, that a busy machine holds up for seconds counts as away."""

WORKER_LOOKS = (
    "imsg_broker.redis_streams.consumer.HOUSEKEEPING_S",
    "imsg_delivery.consumer.REST_S",
    "imsg_delivery.pause.CHANNEL_LOOK_S",
)
"""After these a worker looks whether a step is over, consumes a lane again, and sees that its channel is paused."""

LOOK_S = 0.1

Delay = Callable[[str, bytes, int], Awaitable[None]]
"""The broker's own `delay`."""


@pytest.fixture(autouse=True)
def _patient_broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in () if "service_bounds" in request.fixturenames else BROKER_BOUNDS:
        monkeypatch.setattr(name, PATIENCE_S)


@pytest.fixture(autouse=True)
def patient_history(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what history reads of the run's databases: they are never away, and a busy machine is slow."""
    if "service_bounds" not in request.fixturenames:
        monkeypatch.setattr("imsg_history.database.QUERY_TIMEOUT_S", PATIENCE_S)


@pytest.fixture
def broker_url(valkey_url: str) -> str:
    """Return the URL of one broker, the cheaper: test_brokers.py holds both to what the services rely on."""
    return valkey_url


@pytest.fixture
def database_kind() -> str:
    """Name SQLite: the rules of a service are the same on both. `on_both_databases` names each in turn."""
    return "sqlite"


@pytest.fixture
def database_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> str:
    """Return the URL of an empty database; SQLite's is in a folder whose name a URL has to escape."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path}/数据 100%/store.db"
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture(scope="session")
def history_template(postgres: Postgres, servers: Servers) -> str:
    """Make history's tables once; a copy of them takes a sixth of the time."""
    name = "history_template"
    servers.once(name, lambda: migrate(read_url(postgres.create_database(name)), NOW))
    return name


@pytest.fixture(scope="session")
def history_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make history's tables in SQLite once."""
    path = tmp_path_factory.mktemp("template") / "history.db"
    migrate(read_url(f"sqlite:///{path}"), NOW)
    return path


@pytest.fixture
def migrated_postgres(postgres: Postgres, history_template: str) -> Iterator[str]:
    """Yield the URL of a PostgreSQL database with history's tables, as of `NOW`."""
    name = f"test_{secrets.token_hex(6)}"
    yield postgres.create_database(name, history_template)
    postgres.drop_database(name)


@pytest.fixture
def migrated_sqlite(history_file: Path, tmp_path: Path) -> str:
    """Return the URL of a SQLite database with history's tables."""
    path = tmp_path / "数据 100%" / "store.db"
    path.parent.mkdir()
    shutil.copy(history_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def migrated_url(request: pytest.FixtureRequest, database_kind: str) -> str:
    """Return the URL of a database with history's tables."""
    return str(request.getfixturevalue("migrated_sqlite" if database_kind == "sqlite" else "migrated_postgres"))


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """Open a database with history's tables."""
    async with connect(read_url(migrated_url)) as opened:
        yield opened


@pytest.fixture
async def redis_url(valkey_url: str) -> str:
    """Choose a database and empty it."""
    url = valkey_url.removesuffix("/0") + f"/{1 + secrets.randbelow(15)}"
    async with connect_redis(url) as redis:
        await redis.call("FLUSHDB")
    return url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """Connect to that database."""
    async with connect_redis(redis_url) as redis:
        yield redis


@pytest.fixture
async def bench(database_url: str, redis: Redis) -> AsyncIterator[Bench]:
    """Open callbacks on a migrated database."""
    async with open_bench(database_url, redis) as opened:
        yield opened


@pytest.fixture
def worker_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for a worker's next look."""
    for name in WORKER_LOOKS:
        monkeypatch.setattr(name, LOOK_S)


@pytest.fixture
async def broker(
    broker_url: str,
    topology: Topology,
    worker_looks: None,  # noqa: ARG001  for its effect
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Broker]:
    """Open a broker and wait until it is ready; on streams the step of what is delayed is over at once."""
    async with open_ready(broker_url, topology) as broker:
        if not broker_url.startswith("amqp"):
            monkeypatch.setattr(broker, "delay", _delay_that_passes(broker.delay, broker_url))
        yield broker


def _delay_that_passes(delay: Delay, url: str) -> Delay:
    """Let the time of whatever is delayed have come, as soon as the broker has it."""

    async def delay_no_longer(queue: str, body: bytes, step_s: int) -> None:
        await delay(queue, body, step_s)
        async with connect_redis(url) as streams:
            delayed = name_retry_set(queue)
            for waiting in await streams.call("ZRANGE", delayed, 0, -1):
                await streams.call("ZADD", delayed, "XX", 0, waiting)

    return delay_no_longer


@pytest.fixture
def _life_ends_at_delay(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the life of whatever is delayed at the broker while it waits there."""
    delay = broker.delay

    async def delay_the_dying(queue: str, body: bytes, step_s: int) -> None:
        dying = Job.model_validate_json(body).model_copy(update={"expires_at": datetime.now(UTC)})
        await delay(queue, dying.encode(), step_s)

    monkeypatch.setattr(broker, "delay", delay_the_dying)


@pytest.fixture
async def history(broker: Broker) -> AsyncIterator[HistoryListener]:
    """Yield a listener to all messages for history."""
    history = HistoryListener()
    async with history.listening(broker):
        yield history


@pytest.fixture
async def provider() -> AsyncIterator[ScriptedProvider]:
    """Run a provider that accepts everything unless a test changes it."""
    provider = ScriptedProvider()
    async with provider.running():
        yield provider
