"""What a team would otherwise build: FastAPI and Celery on RabbitMQ, a worker with smtplib."""

import json
import subprocess
import sys

import redis

from imsg_bench.peers.ours import http_post
from imsg_bench.peers.peer import ADDRESS, ROOT, SUBJECT, TEXT, Endpoint, MailPeer
from imsg_bench.servers import Servers
from imsg_testing.servers.server import MissingServerError

PYTHON = ROOT / ".uv" / "peer" / "bin" / "python"
CODE = ROOT / "bench" / "peer"
TOKEN = "a-token"  # noqa: S105  no real one


class CeleryStack(MailPeer):
    """FastAPI, redis-py, Celery."""

    NAME = "Celery stack"
    WHAT = "FastAPI and Celery (bench/peer), a worker of 16 threads, each with its SMTP connection; mail"
    SETTINGS = "RabbitMQ quorum queue, publishes confirmed; acks_late; Valkey appendfsync always"

    def version(self) -> str:
        """Celery's."""
        return f"Celery {module_version('celery')}"

    def open(self) -> Endpoint:
        """Start servers, app and worker."""
        self._servers = Servers(self.stack)
        sink = self.sink(sys.executable)
        variables = {
            "PEER_AMQP": self._servers.broker.url.partition("?")[0],
            "PEER_REDIS": self._servers.valkey.url,
            "PEER_SMTP_PORT": str(sink),
        }
        with redis.Redis.from_url(self._servers.valkey.url) as client:
            client.hset(f"peer:token:{TOKEN}", "username", "admin")
        worker = ("worker", "-P", "threads", "-c", "16", "-l", "WARNING", "--without-gossip", "--without-mingle")
        self.add([str(PYTHON), "-m", "celery", "-A", "tasks", *worker], variables=variables, cwd=CODE)
        port = self.port()
        serve = ("--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log")
        self.add([str(PYTHON), "-m", "uvicorn", "app:app", *serve, "--log-level", "warning"], port, variables, CODE)
        body = {"token": TOKEN, "to": ADDRESS, "method": "smtp", "content": {"subject": SUBJECT, "text": TEXT}}
        return Endpoint("http", port, http_post("/api/send", json.dumps(body)), '"errorCode":0')

    def kill(self) -> None:
        """End programs and servers."""
        super().kill()
        for server in (self._servers.broker, self._servers.valkey):
            server.kill()

    def start(self) -> None:
        """Start all of it again."""
        for server in (self._servers.broker, self._servers.valkey):
            server.start()
        super().start()

    def pids(self) -> list[int]:
        """Of programs and servers."""
        return [*super().pids(), self._servers.broker.process.pid, self._servers.valkey.process.pid]


class AppriseServer(MailPeer):
    """Apprise behind an HTTP API."""

    NAME = "Apprise"
    WHAT = "the library behind a FastAPI of ours (bench/peer/notify.py), as Apprise-API is built; mail"
    SETTINGS = "keeps nothing: it answers when the mail server has the mail; a connection for each mail"

    def version(self) -> str:
        """Apprise's."""
        return f"Apprise {module_version('apprise')}"

    def open(self) -> Endpoint:
        """Start it."""
        sink = self.sink(sys.executable)
        port = self.port()
        serve = ("--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log")
        command = [str(PYTHON), "-m", "uvicorn", "notify:app", *serve, "--log-level", "warning"]
        self.add(command, port, {"PEER_SMTP_PORT": str(sink)}, CODE)
        body = json.dumps({"to": ADDRESS, "title": SUBJECT, "body": TEXT})
        return Endpoint("http", port, http_post("/notify", body), '"sent":true')


def module_version(name: str) -> str:
    """Return a module's version in the peers' environment. Raises MissingServerError."""
    command = [str(PYTHON), "-c", f"from importlib.metadata import version; print(version({name!r}))"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise MissingServerError(f"{name} is not installed: scripts/install-bench") from error
