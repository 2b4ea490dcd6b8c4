"""iMSG itself: as separate processes on RabbitMQ, Valkey and PostgreSQL, and in one process."""

import json
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from imsg_bench.deployment import Deployment
from imsg_bench.embedded import EmbeddedDeployment, prepare_embedded
from imsg_bench.peers.peer import ADDRESS, SUBJECT, TEXT, Endpoint, MailPeer
from imsg_bench.servers import Servers
from imsg_testing.servers import Server
from imsg_testing.service import Service

MAX_WAIT_S = 150.0
"""Claims of the one that was killed have to run out, and what is tried again waits its minute."""

ACCEPTED = '"errorCode":0'


def make_endpoint(url_port: int, token: str) -> Endpoint:
    """Make the request of a mail."""
    body = json.dumps({"token": token, "to": ADDRESS, "method": "smtp", "content": {"subject": SUBJECT, "text": TEXT}})
    return Endpoint("http", url_port, http_post("/api/send", body), ACCEPTED)


def http_post(path: str, body: str, kind: str = "application/json") -> str:
    """Write a POST whole; the place of a number is as long as the number."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head + body


class Distributed(MailPeer):
    """The containers' way, as processes."""

    NAME = "iMSG"
    WHAT = "gateway, auth, history, sender-smtp (16 connections), each a process; mail"
    MAX_WAIT_S = MAX_WAIT_S
    SETTINGS = "RabbitMQ quorum queues, confirms; Valkey appendfsync always; PostgreSQL fsync on"

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        super().__init__(stack, folder)
        self._servers = Servers(stack)
        self._services: list[Service] = []

    def version(self) -> str:
        """Ours."""
        return version("imsg-gateway")

    def open(self) -> Endpoint:
        """Start servers and services."""
        for server in self._stores:  # before what uses them, so that they end after it
            assert server.process.runs  # noqa: S101
        deployment = Deployment(self.stack, self._servers)
        sink = self.sink(sys.executable)
        sender = deployment.mail_sender(sink)
        self._services = [deployment.auth(), deployment.history(), deployment.gateway(), sender]
        sender.start()
        return make_endpoint(self._services[2].port, deployment.api.token())

    @property
    def _stores(self) -> tuple[Server, ...]:
        return (self._servers.broker, self._servers.valkey, self._servers.postgres)

    def kill(self) -> None:
        """End services and servers."""
        for service in self._services:
            service.process.kill()
        for server in self._stores:
            server.kill()

    def start(self) -> None:
        """Start all of it again."""
        for server in self._stores:
            server.start()
        for service in self._services:
            service.start()

    def pids(self) -> list[int]:
        """Of services and servers."""
        services = [service.process.pid for service in self._services]
        return services + [server.process.pid for server in self._stores]


class Embedded(MailPeer):
    """`imsg up`."""

    NAME = "iMSG, imsg up"
    WHAT = "all of iMSG in one process, with its own Valkey and SQLite; mail"
    MAX_WAIT_S = MAX_WAIT_S
    SETTINGS = "streams on Valkey, appendfsync always; SQLite WAL; 16 connections"

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        super().__init__(stack, folder)
        self._one: EmbeddedDeployment | None = None

    @property
    def one(self) -> EmbeddedDeployment:
        """The process."""
        assert self._one is not None  # noqa: S101  opened before
        return self._one

    def version(self) -> str:
        """Ours."""
        return version("imsg")

    def open(self) -> Endpoint:
        """Start it."""
        server = {
            "HOST": "127.0.0.1",
            "PORT": self.sink(sys.executable),
            "SECURITY": "none",
            "SENDER": "imsg@example.com",
            "CONNECTIONS": 16,
        }
        settings = {f"IMSG_SMTP__{name}": str(value) for name, value in server.items()}
        self._one = self.stack.enter_context(prepare_embedded(self.folder / "up", settings))
        self.one.start()
        self.one.open_wide()
        return make_endpoint(self.one.port, self.one.token())

    def kill(self) -> None:
        """End it and its Valkey."""
        self.one.process.kill()

    def start(self) -> None:
        """Start it again."""
        self.one.start()

    def pids(self) -> list[int]:
        """Its own; what descends from it is counted with it."""
        return [self.one.process.pid]
