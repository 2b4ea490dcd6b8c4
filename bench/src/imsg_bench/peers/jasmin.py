"""Jasmin: takes an SMS over HTTP, keeps it in RabbitMQ, hands it to the operator of ours over SMPP."""

import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from imsg_bench.filling import wait_until
from imsg_bench.peers.peer import PHONE, ROOT, Endpoint, PhonePeer
from imsg_bench.servers import Servers
from imsg_testing.servers import accepts
from imsg_testing.servers.server import MissingServerError

HOME = ROOT / ".uv" / "jasmin" / "bin"

SETTINGS = """\
[amqp-broker]
host = 127.0.0.1
port = {amqp}
username = guest
password = guest
vhost = /
spec = {spec}
connection_loss_retry_delay = 1
connection_failure_retry_delay = 1
[redis-client]
host = 127.0.0.1
port = {redis}
[jcli]
bind = 127.0.0.1
port = {console}
authentication = False
[http-api]
bind = 127.0.0.1
port = {port}
[router]
bind = 127.0.0.1
port = {router}
[client-management]
bind = 127.0.0.1
port = {clients}
[smpp-server]
bind = 127.0.0.1
port = {smpp}
[smpp-server-pb]
bind = 127.0.0.1
port = {smpp_inside}
"""

PROFILE = (
    ("group -a", "gid peers", "ok"),
    ("user -a", "username peer", "password secret", "uid peer", "gid peers", "ok"),
    ("smppccm -a", "cid operator", "host 127.0.0.1", "port {operator}", "username peer", "password peer"),
    ("bind transmitter", "submit_throughput 0", "con_fail_delay 1", "con_loss_delay 1", "ok"),
    ("mtrouter -a", "type defaultroute", "connector smppc(operator)", "rate 0.0", "ok"),
    ("persist", "smppccm -1 operator"),
)
NEGOTIATED = b"\xff\xfc\x22\xff\xfc\x1f\xff\xfb\x03\xff\xfd\x01"
"""Telnet: no line mode, no window's size, go-ahead suppressed, you echo (RFC 854); before it no prompt is shown."""

PROMPT_TIMEOUT_S = 10.0
REQUEST = (
    f"GET /send?username=peer&password=secret&to={PHONE}&content=Your+order+is+on+its+way HTTP/1.1\r\n"
    "host: 127.0.0.1\r\n\r\n"
)


class Jasmin(PhonePeer):
    """An SMS gateway in Python."""

    NAME = "Jasmin"
    WHAT = "jasmind on RabbitMQ and Valkey, HTTP in, one SMPP session out; SMS"
    SETTINGS = "its queues are not durable and have no confirms (no setting makes them so); throughput unlimited"

    def version(self) -> str:
        """Its own."""
        command = [str(HOME / "python"), "-c", "from importlib.metadata import version; print(version('jasmin'))"]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError) as error:
            raise MissingServerError("Jasmin is not installed: scripts/install-peers") from error

    def open(self) -> Endpoint:
        """Configure and start it, and add user, operator and route by its console."""
        self._servers = Servers(self.stack)
        self._operator = self.operator(sys.executable, "smpp")
        names = ("console", "port", "router", "clients", "smpp", "smpp_inside")
        self._ports = {name: self.port() for name in names}
        for name in ("etc/jasmin/store", "etc/jasmin/resource", "var/log/jasmin"):
            (self.folder / name).mkdir(parents=True)
        (spec,) = HOME.parent.glob("lib/python*/site-packages/txamqp/specs/standard/amqp0-9-1.stripped.xml")
        amqp, store = urlsplit(self._servers.broker.url).port, urlsplit(self._servers.valkey.url).port
        settings = self.folder / "etc" / "jasmin" / "jasmin.cfg"
        settings.write_text(SETTINGS.format(amqp=amqp, redis=store, spec=spec, **self._ports))
        _unlock()
        command = [str(HOME / "python"), str(HOME / "jasmind.py"), "-c", str(settings)]
        self.add(command, self._ports["port"], {"ROOT_PATH": str(self.folder)})
        self._run_commands(word for words in PROFILE for word in words)
        return Endpoint("http", self._ports["port"], REQUEST, 'Success "')

    def kill(self) -> None:
        """End it and its servers."""
        super().kill()
        for server in (self._servers.broker, self._servers.valkey):
            server.kill()

    def start(self) -> None:
        """Start all parts again, without the lock file of the killed one, as an operator has to."""
        for server in (self._servers.broker, self._servers.valkey):
            server.start()
        _unlock()
        super().start()
        self._run_commands(["smppccm -1 operator"])

    def pids(self) -> list[int]:
        """Of it and its servers."""
        return [*super().pids(), self._servers.broker.process.pid, self._servers.valkey.process.pid]

    def _run_commands(self, lines: Iterable[str]) -> None:
        """Run commands at its console, line by line; each is answered by a prompt."""
        wait_until(lambda: accepts(self._ports["console"]), PROMPT_TIMEOUT_S)
        with socket.create_connection(("127.0.0.1", self._ports["console"]), PROMPT_TIMEOUT_S) as console:
            console.sendall(NEGOTIATED + b"\r\n")
            _prompt(console)
            for line in lines:
                console.sendall(line.format(operator=self._operator).encode() + b"\r\n")
                _prompt(console)


def _unlock() -> None:
    for lock in Path("/tmp").glob("jasmind*lock"):  # noqa: S108  where Jasmin has it
        lock.unlink()


def _prompt(console: socket.socket) -> str:
    """Read up to the next prompt: `jcli : ` or `> `."""
    received = b""
    while not received.rstrip().endswith((b"jcli :", b">")):
        try:
            chunk = console.recv(4_096)
        except TimeoutError as error:
            raise ConnectionError(f"Jasmin's console went silent: {received!r}") from error
        if not chunk:
            raise ConnectionError(f"Jasmin's console ended: {received.decode(errors='replace')}")
        received += chunk
    return received.decode(errors="replace")
