"""The fixtures of the worker's tests: both brokers, a Redis for claims, a listener in history's place, a provider.

And those of history and callbacks: databases of each kind.
"""

import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imsg_broker.port import Broker
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
from imsg_testing.plugin import PATIENCE_S
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


@pytest.fixture(autouse=True)
def _patient_broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in () if "service_bounds" in request.fixturenames else BROKER_BOUNDS:
        monkeypatch.setattr(name, PATIENCE_S)


@pytest.fixture(autouse=True)
def patient_history(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for what history reads of the run's databases: they are never away, and a busy machine is slow."""
    if "service_bounds" not in request.fixturenames:
        monkeypatch.setattr("imsg_history.database.QUERY_TIMEOUT_S", PATIENCE_S)


@pytest.fixture(params=["rabbit", "streams"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of each real broker in turn."""
    return str(request.getfixturevalue("rabbit_url" if request.param == "rabbit" else "valkey_url"))


@pytest.fixture(scope="session")
def history_template(postgres: Postgres) -> str:
    """Make history's tables once; a copy of them takes a sixth of the time."""
    name = "history_template"
    migrate(read_url(postgres.create_database(name)), NOW)
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


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database of each kind with history's tables."""
    return str(request.getfixturevalue("migrated_sqlite" if request.param == "sqlite" else "migrated_postgres"))


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """Open a database of each kind with history's tables."""
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
    """Open callbacks on a migrated database of each kind."""
    async with open_bench(database_url, redis) as opened:
        yield opened


@pytest.fixture
async def broker(broker_url: str, topology: Topology) -> AsyncIterator[Broker]:
    """Open a broker and wait until it is ready."""
    async with open_ready(broker_url, topology) as broker:
        yield broker


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
