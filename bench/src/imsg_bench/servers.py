"""The servers of a run: private, on free ports, configured as in production; each measurement has them empty."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

import httpx
import redis

from imsg_testing.servers import Postgres, Rabbit, Valkey

GUEST = ("guest", "guest")
CONFIGURATION = Path(__file__).parents[3] / "deploy" / "rabbitmq" / "imsg.conf"


class Broker(Rabbit):
    """RabbitMQ on the very file that operators give it (`deploy/rabbitmq/imsg.conf`)."""

    def _configure(self) -> None:
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self._port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            "default_user = guest\ndefault_pass = guest\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\n" + CONFIGURATION.read_text()
        )
        (self.folder / "advanced.config").write_text("[].\n")
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (self.folder / "env").touch()

    def host(self, name: str) -> str:
        """Make a virtual host; return its URL."""
        for path, body in (
            (f"vhosts/{name}", {}),
            (f"permissions/{name}/guest", {"configure": ".*", "write": ".*", "read": ".*"}),
        ):
            self.manage("PUT", path, body).raise_for_status()
        return f"amqp://guest:guest@127.0.0.1:{self._port}/{name}?management_port={self.management_port}"

    def manage(self, verb: str, path: str, body: object = None) -> httpx.Response:
        """Call the management API."""
        url = f"http://127.0.0.1:{self.management_port}/api/{path}"
        return httpx.request(verb, url, json=body, auth=GUEST, timeout=60)


class Servers:
    """RabbitMQ, Valkey and PostgreSQL, started when first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._broker: Broker | None = None
        self._valkey: Valkey | None = None
        self._postgres: Postgres | None = None

    @property
    def broker(self) -> Broker:
        """RabbitMQ."""
        if self._broker is None:
            self._broker = self._stack.enter_context(Broker())
        return self._broker

    @property
    def valkey(self) -> Valkey:
        """Valkey: append-only file, fsync at every write, nothing evicted."""
        if self._valkey is None:
            self._valkey = self._stack.enter_context(Valkey())
        return self._valkey

    @property
    def postgres(self) -> Postgres:
        """PostgreSQL."""
        if self._postgres is None:
            self._postgres = self._stack.enter_context(Postgres())
        return self._postgres


class Share:
    """One measurement's share of the ground: a virtual host, databases and Redis of its own."""

    def __init__(self, servers: Servers, host: str, url: str) -> None:
        self.servers = servers
        self.host = host
        self.broker_url = url
        self._databases: dict[str, str] = {}

    @property
    def plain_broker_url(self) -> str:
        """The URL without what only iMSG reads of it."""
        return self.broker_url.partition("?")[0]

    @property
    def redis_url(self) -> str:
        """Valkey's URL."""
        return self.servers.valkey.url

    def database(self, name: str) -> str:
        """Make a database unless it is made; return its URL."""
        own = f"{name}_{self.host}"
        if own not in self._databases:
            self._databases[own] = self.servers.postgres.create_database(own)
        return self._databases[own]

    def purge(self, *queues: str) -> None:
        """Empty queues."""
        for queue in queues:
            self.servers.broker.manage("DELETE", f"queues/{self.host}/{queue}/contents")

    def empty(self) -> None:
        """Delete everything of the share."""
        self.servers.broker.manage("DELETE", f"vhosts/{self.host}")
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()
        for name in self._databases:
            self.servers.postgres.drop_database(name)


@contextmanager
def share(servers: Servers) -> Iterator[Share]:
    """Yield empty servers for a measurement."""
    host = token_hex(4)
    opened = Share(servers, host, servers.broker.host(host))
    try:
        yield opened
    finally:
        opened.empty()


def make_folder(stack: ExitStack) -> Path:
    """Make a folder for logs and small files that goes with the run."""
    return Path(stack.enter_context(TemporaryDirectory(prefix="imsg-bench-")))
