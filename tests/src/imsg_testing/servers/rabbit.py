"""RabbitMQ for the tests."""

import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from imsg_testing.processes import Process
from imsg_testing.servers.ports import accepts, asked, free_port
from imsg_testing.servers.server import START_TIMEOUT_S, MissingServerError, Server, found


class Rabbit(Server):
    """RabbitMQ 4 with the management plugin: a node of its own, an epmd of its own, a cookie of its own."""

    _port = 0
    management_port = 0

    def __init__(self) -> None:
        super().__init__()
        self._epmd: Process | None = None
        self._variables: Mapping[str, str] = {}

    @property
    def url(self) -> str:
        """An amqp:// URL that also tells where the management API is."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}/%2F?management_port={self.management_port}"

    @property
    def amqp_port(self) -> int:
        """The port of AMQP, for a proxy in front of it."""
        return self._port

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on it and return what it prints, such as `control("set_disk_free_limit", "50MB")`."""
        script = Path("/usr/lib/rabbitmq/bin/rabbitmqctl")
        path = script if script.exists() else found("rabbitmqctl")
        if path is None:
            raise MissingServerError("rabbitmqctl is not installed: apt-get install rabbitmq-server")
        said = subprocess.run(
            [str(path), *arguments],
            env=self._variables,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=True,
        )
        return said.stdout

    def close(self) -> None:
        """End it and its epmd, and remove its data."""
        if self._process is not None:
            self._process.close()
        if self._epmd is not None:
            self._epmd.close()
        super().close()

    def _prepared(self) -> Process:
        script = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # Debian's wrapper on PATH insists on its own user
        server = script if script.exists() else found("rabbitmq-server")
        epmd = found("epmd")
        if server is None or epmd is None:
            raise MissingServerError("RabbitMQ is not installed: apt-get install rabbitmq-server")
        self._port, self.management_port, distribution, names = (free_port() for _ in range(4))
        if self._epmd is not None:
            self._epmd.close()
        self._epmd = Process([str(epmd), "-address", "127.0.0.1", "-port", str(names)], log=self.folder / "epmd")
        self._epmd.start()
        self._wait_for_epmd(names)
        self._configure()
        self._variables = self._environment(distribution, names)
        return Process([str(server)], log=self.folder / "log", environment=self._variables)

    def _wait_for_epmd(self, port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not accepts(port):
            if time.monotonic() > deadline:
                raise RuntimeError("epmd did not answer")
            time.sleep(0.01)

    def _configure(self) -> None:
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self._port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            "default_user = guest\ndefault_pass = guest\n"
            "log.console = true\nlog.console.level = info\nlog.file = false\n"
            "disk_free_limit.absolute = 50MB\n"
            # The log of quorum queues is laid out in full on disk; 512 MB by default is much for a test.
            "raft.wal_max_size_bytes = 33554432\n"
            "collect_statistics_interval = 1000\n"
        )
        # How often a quorum queue tells the management API its numbers (5 s by default): tests wait for them.
        (self.folder / "advanced.config").write_text("[{rabbit, [{quorum_tick_interval, 1000}]}].\n")
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (self.folder / "env").touch()

    def _environment(self, distribution: int, names: int) -> Mapping[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),  # the Erlang cookie is made here
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"imsg{self._port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
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
        greeting = asked(self._port, b"AMQP\x00\x00\x09\x01")
        return greeting.startswith(b"\x01\x00\x00") and accepts(self.management_port)
