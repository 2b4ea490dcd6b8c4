"""The fixtures of every test: real servers that start at their first use, and an empty database of each for a test."""

import os
import pkgutil
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from imsg_contract.topology import Topology
from imsg_runtime.redis import Redis, connect
from imsg_testing import scratch
from imsg_testing.durations import timed_start
from imsg_testing.servers import MissingServerError, Postgres, Rabbit, Server, Valkey, reserve_port
from imsg_testing.servers.shared import once, using

PATIENCE_S = 60.0
"""How long a test waits for its servers: a busy machine stops them for seconds, and what is away refuses at once."""

BOUNDS = (
    "imsg_runtime.redis.CALL_TIMEOUT_S",
    "imsg_broker.redis_streams.reader.CALL_TIMEOUT_S",
    "imsg_database.dialing.CONNECT_TIMEOUT_S",
    "imsg_database.engines.CONNECT_TIMEOUT_S",
)
"""What is raised to that."""


S = TypeVar("S", bound=Server)


class Servers:
    """The servers that a worker uses, until the run's end."""

    def __init__(self, config: pytest.Config, folder: Path, worker: str) -> None:
        self.worker = worker
        """The worker's name; empty where a run has no workers."""
        self._config = config
        self._shared = folder / "servers"
        self._stack = ExitStack()

    def start(self, kind: type[S]) -> S:
        """Start a server of this worker's own."""
        server = kind()
        self._open(kind, server)
        return server

    def share(self, kind: type[S]) -> S:
        """Use the server of all workers; the first that asks starts it."""
        return self._open(kind, using(kind, self._shared))

    def once(self, name: str, make: Callable[[], object]) -> None:
        """Make something of the run, such as a template of databases, unless another worker has made it."""
        once(self._shared, name, make)

    def close(self) -> None:
        """End what was started here."""
        self._stack.close()

    def _open(self, kind: type[S], opened: AbstractContextManager[S]) -> S:
        try:
            with timed_start(self._config, kind.__name__):
                return self._stack.enter_context(opened)
        except MissingServerError as missing:
            pytest.fail(str(missing), pytrace=False)


_servers = pytest.StashKey[Servers]()


def pytest_configure() -> None:
    """Choose the folder of the run's files, before it is used; the workers of a run inherit it."""
    chosen = os.environ.setdefault(scratch.VARIABLE, scratch.choose())
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", chosen)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Servers:
    """Start servers at their first use; the run's end ends them."""
    own = tmp_path_factory.getbasetemp()
    worker: str = getattr(pytestconfig, "workerinput", {}).get("workerid", "")
    opened = pytestconfig.stash[_servers] = Servers(pytestconfig, own.parent if worker else own, worker)
    return opened


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the run's servers. No test's bound counts what a worker waits for the others here."""
    servers = session.config.stash.get(_servers, None)
    if servers is not None:
        servers.close()


@pytest.fixture(scope="session")
def valkey(servers: Servers) -> Server:
    """Valkey of this worker, because keys are literal. A test that kills its server starts a `Valkey()` of its own."""
    return servers.start(Valkey)


@pytest.fixture(scope="session")
def rabbit(servers: Servers) -> Server:
    """RabbitMQ of the whole run, with a virtual host of this worker."""
    rabbit = servers.share(Rabbit)
    rabbit.add_virtual_host(servers.worker or "tests")
    return rabbit


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> Server:
    """PostgreSQL of the whole run; a test makes databases of its own."""
    return servers.share(Postgres)


@pytest.fixture(scope="session")
def valkey_url(valkey: Valkey) -> str:
    """Where Valkey is: `redis://127.0.0.1:PORT/0`."""
    return valkey.url


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[Mapping[str, float]]:
    """Let what runs in the tests' own process wait for its servers; return the bounds of services: name → seconds."""
    with pytest.MonkeyPatch.context() as patch:
        bounds = {name: pkgutil.resolve_name(name) for name in BOUNDS}
        for name in bounds:
            patch.setattr(name, PATIENCE_S)
        yield bounds


@pytest.fixture
def service_bounds(patience: Mapping[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the bounds of services, for a test of what they do with a server that does not answer."""
    for name, bound in patience.items():
        monkeypatch.setattr(name, bound)


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Connect to the run's Valkey."""
    async with connect(valkey_url) as redis:
        yield redis


@pytest.fixture(scope="session")
def rabbit_url(request: pytest.FixtureRequest) -> str:
    """Where RabbitMQ is: `amqp://guest:guest@127.0.0.1:PORT/%2F?management_port=PORT`.

    TEST_RABBIT_URL names another one, such as a cluster, to be held to the same contract.
    """
    named = os.environ.get("TEST_RABBIT_URL")
    return named or str(request.getfixturevalue("rabbit").url)


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """Where PostgreSQL is: `postgresql://imsg:imsg@127.0.0.1:PORT/postgres`; its user may create databases."""
    return postgres.url


@pytest.fixture
def reserved_port() -> int:
    """Return a loopback port without a server, reserved for one that the test starts."""
    return reserve_port()


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[str]:
    """Yield the URL of an empty database of this test's own."""
    name = f"test_{secrets.token_hex(6)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of each kind; SQLite's is in a folder whose name a URL has to escape."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/数据 100%/store.db"
    return str(request.getfixturevalue("postgres_database"))


@pytest.fixture
def topology() -> Topology:
    """Names at the broker that no other test uses; one method and short steps, to be quick, and few of its queues."""
    return Topology(prefix=f"t{secrets.token_hex(4)}", methods=("smtp",), steps_s=(1, 2, 4), query_steps_s=())
