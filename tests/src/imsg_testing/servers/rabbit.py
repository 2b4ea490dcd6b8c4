"""RabbitMQ for the tests: one node, with AMQP and the management API in the clear and over TLS."""

import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote

import httpx

from imsg_testing.processes import Process
from imsg_testing.servers.certificates import Certificates
from imsg_testing.servers.epmd import Epmd
from imsg_testing.servers.ports import accepts, ask, reserve_port
from imsg_testing.servers.server import MissingServerError, Server, find_program

OLDEST_MAJOR = 4

CONTROL_TIMEOUT_S = 300.0
"""rabbitmqctl starts a whole Erlang and compiles as it goes: seconds of a processor, a minute on a busy machine."""

DEPLOY = Path(__file__).parents[4] / "deploy" / "rabbitmq"


class Rabbit(Server):
    """RabbitMQ 4 with the management plugin: a node of its own, an epmd of its own, a cookie of its own.

    Nodes of a cluster share an `epmd`; `others` are the nodes to form it with, `extra` more lines of rabbitmq.conf.
    """

    management_port = 0
    tls_port = 0
    tls_management_port = 0
    _distribution_port = 0

    def __init__(self, *, epmd: Epmd | None = None, extra: Sequence[str] = ()) -> None:
        super().__init__()
        self.node = f"imsg{secrets.token_hex(4)}@localhost"
        self.certificates = Certificates(self.folder, "localhost")
        self._extra = extra
        self._own_epmd = epmd is None
        self._epmd = epmd or Epmd()
        self._variables: Mapping[str, str] = {}
        self.virtual_host = "/"

    @property
    def url(self) -> str:
        """An amqp:// URL that also has the management API's port."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}/{self._vhost}?management_port={self.management_port}"

    @property
    def tls_url(self) -> str:
        """An amqps:// URL with all that is needed: the node wants a client's certificate."""
        shown = f"certfile={self.certificates.client}&keyfile={self.certificates.client_key}"
        return f"{self.tls_url_of_a_stranger}&{shown}"

    @property
    def tls_url_of_a_stranger(self) -> str:
        """An amqps:// URL that trusts the node and has no certificate to show."""
        where = f"amqps://guest:guest@localhost:{self.tls_port}/{self._vhost}"
        return f"{where}?management_port={self.tls_management_port}&cafile={self.certificates.ca}"

    @property
    def _vhost(self) -> str:
        return quote(self.virtual_host, safe="")

    def add_virtual_host(self, name: str) -> None:
        """Make a virtual host, and mean it by the URLs from now on."""
        api = f"http://127.0.0.1:{self.management_port}/api/vhosts/{quote(name, safe='')}"
        httpx.put(api, auth=("guest", "guest"), timeout=CONTROL_TIMEOUT_S, trust_env=False).raise_for_status()
        self.virtual_host = name

    @property
    def amqp_port(self) -> int:
        """The port of AMQP, for a proxy in front of it."""
        return self._port

    def count_errors(self) -> int:
        """Count the error lines of its log, such as a look-up of a missing queue."""
        return (self.folder / "log").read_text(errors="replace").count(" [error] ")

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on it and return what it prints, such as `control("set_disk_free_limit", "50MB")`."""
        return self.run("rabbitmqctl", *arguments)

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of RabbitMQ on it and return what it prints."""
        return _run(_script(program), *arguments, environment=self._variables)

    def close(self) -> None:
        """End it and its epmd, and remove its data."""
        if self._process is not None:
            self._process.close()
        if self._own_epmd:
            self._epmd.close()
        super().close()

    def _prepare(self) -> Process:
        server = _script("rabbitmq-server")
        _refuse_an_old_one()
        self._port, self.management_port, self.tls_port, self.tls_management_port, self._distribution_port = (
            reserve_port(self) for _ in range(5)
        )
        self._epmd.start()
        self._configure()
        self._variables = self._environment()
        return Process([str(server)], log=self.folder / "log", environment=self._variables)

    def _configure(self) -> None:
        lines = (
            f"listeners.tcp.1 = 127.0.0.1:{self._port}",
            *self._tls(),
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self.management_port}",
            "default_user = guest",
            "default_pass = guest",
            "log.console = true",
            "log.console.level = info",
            "log.file = false",
            "disk_free_limit.absolute = 50MB",
            # The log of quorum queues is laid out in full on disk; 512 MB by default is much for a test.
            "raft.wal_max_size_bytes = 33554432",
            "collect_statistics_interval = 1000",
            *self._extra,
        )
        (self.folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        # How often a quorum queue tells the management API its numbers (5 s by default): tests wait for them. And how
        # soon a node that no longer answers is taken for dead by the others (60 s by default).
        (self.folder / "advanced.config").write_text(
            "[{rabbit, [{quorum_tick_interval, 1000}]}, {kernel, [{net_ticktime, 8}]}].\n"
        )
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (self.folder / "env").touch()

    def _tls(self) -> list[str]:
        """Listen as `tls.conf` has it, with our own files and ports, on the loopback, and in the clear as well."""
        own = {
            "/etc/rabbitmq/tls/ca.pem": str(self.certificates.ca),
            "/etc/rabbitmq/tls/server.pem": str(self.certificates.server),
            "/etc/rabbitmq/tls/server-key.pem": str(self.certificates.server_key),
            "listeners.ssl.default = 5671": f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}",
            "management.ssl.port = 15671": f"management.ssl.port = {self.tls_management_port}",
        }
        said = "\n".join(line for line in read_shipped("tls.conf") if not line.startswith("listeners.tcp"))
        for operators, ours in own.items():
            said = said.replace(operators, ours)
        return ["management.ssl.ip = 127.0.0.1", *said.splitlines()]

    def _environment(self) -> Mapping[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(self._epmd.folder),  # the Erlang cookie is made here
            "ERL_EPMD_PORT": str(self._epmd.port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "env"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            # The script replaces itself by the server instead of watching it: our process id is the server's.
            "detached": "true",
        }

    def _answers(self) -> bool:
        greeting = ask(self._port, b"AMQP\x00\x00\x09\x01")
        return greeting.startswith(b"\x01\x00\x00") and accepts(self.management_port)


def read_shipped(file: str) -> list[str]:
    """Read the lines of a configuration file that operators use."""
    return [line for line in (DEPLOY / file).read_text().splitlines() if line and not line.startswith("#")]


def _script(name: str) -> Path:
    script = Path("/usr/lib/rabbitmq/bin") / name  # Debian's wrappers on PATH insist on their own user
    path = script if script.exists() else find_program(name)
    if path is None:
        raise MissingServerError("RabbitMQ is not installed: apt-get install rabbitmq-server")
    return path


def _run(script: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    result = subprocess.run(
        [str(script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=CONTROL_TIMEOUT_S,
        check=True,
    )
    return result.stdout


@cache
def _refuse_an_old_one() -> None:
    """Find its version, once a run. Raises MissingServerError where it is too old for iMSG."""
    version = _version()
    if int(version.partition(".")[0]) < OLDEST_MAJOR:
        raise MissingServerError(
            f"RabbitMQ {version} is installed, and iMSG needs {OLDEST_MAJOR}.0 or later: "
            "take it from Debian 13 or from rabbitmq.com"
        )


def _version() -> str:
    """Return the version from the package's files; the command takes a minute on a busy machine."""
    installed = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
    if installed:
        return installed[-1].name.rpartition("-")[2]
    return _run(_script("rabbitmqctl"), "version").strip()
