"""iMSG as containers, with a project name, a port and volumes of its own, which are removed afterwards."""

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from imsg_testing.api_versions import read_answer
from imsg_testing.servers import reserve_port
from imsg_testing.waiting import wait

ROOT = Path(__file__).parents[3]

UP_TIMEOUT_S = 900.0
"""Images are built on the way."""

COMMAND_TIMEOUT_S = 180.0


ASKED_INSIDE = """
import base64, pathlib, sys
from urllib.request import Request, urlopen
service, password = (pathlib.Path(f"/run/imsg/{name}").read_text().strip() for name in ("service", "rabbit_password"))
key = base64.b64encode(f"imsg-{service}:{password}".encode()).decode()
print(urlopen(Request(sys.argv[1], headers={"Authorization": f"Basic {key}"}), timeout=10).read().decode())
"""
"""Runs inside a container and reads a URL, with the credentials of the service at RabbitMQ."""


class Containers:
    """The stack with the settings of `.env.example`, or of another file."""

    def __init__(self, settings: Path = ROOT / ".env.example") -> None:
        self.port = reserve_port(self)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("IMSG_", "COMPOSE_"))}
        self._environment = {
            **kept,
            "COMPOSE_PROJECT_NAME": f"imsg-test-{secrets.token_hex(3)}",
            "COMPOSE_ENV_FILES": str(settings),
            "IMSG_BIND": f"127.0.0.1:{self.port}",
        }
        self._token = ""

    def compose(self, *words: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run `docker compose WORDS` and return its output. Raises AssertionError with its error."""
        return self.run("docker", "compose", *words, timeout_s=timeout_s)

    def start(self) -> None:
        """Build the images and bring everything up; return when all of it is healthy."""
        self.compose("up", "--detach", "--build", "--wait", timeout_s=UP_TIMEOUT_S)

    @contextmanager
    def adding(self, file: str, settings: Mapping[str, str], *services: str) -> Iterator[None]:
        """Recreate services with another compose file added, for as long as the context lasts."""
        with self._environed({"COMPOSE_FILE": f"docker-compose.yml:deploy/sandbox.yml:{file}", **settings}, *services):
            yield

    @contextmanager
    def beside(self, settings: Mapping[str, str], *services: str) -> Iterator[None]:
        """Run services of another profile, each with a volume of its name."""
        self._environment |= settings
        try:
            self.compose("up", "--detach", "--wait", "--no-build", "--no-deps", *services)
            yield
        finally:
            self.compose("rm", "--stop", "--force", *services)
            project = self._environment["COMPOSE_PROJECT_NAME"]
            self.run("docker", "volume", "rm", *(f"{project}_{service}" for service in services))
            for name in settings:
                del self._environment[name]

    @contextmanager
    def setting(self, **settings: str) -> Iterator[None]:
        """Run `docker compose up` with other settings, for as long as the context lasts."""
        with self._environed(settings):
            yield

    @contextmanager
    def _environed(self, more: Mapping[str, str], *services: str) -> Iterator[None]:
        words = ("up", "--detach", "--wait", "--no-build", "--remove-orphans", *services)
        self._environment |= more
        try:
            self.compose(*words, timeout_s=UP_TIMEOUT_S)
            yield
        finally:
            for name in more:
                del self._environment[name]
            self.compose(*words, timeout_s=UP_TIMEOUT_S)

    def close(self) -> None:
        """Remove all containers and volumes."""
        self.client.close()
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "20")

    def secret(self, service: str, name: str) -> str:
        """Read a secret inside a service's container."""
        return self.compose("exec", "-T", service, "cat", f"/run/imsg/{name}").strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what Docker knows of a service's first container."""
        name = self.compose("ps", "--all", "--quiet", service).split()[0]
        result = subprocess.run(["docker", "inspect", name], capture_output=True, check=True)
        body: dict[str, Any] = json.loads(result.stdout)[0]
        return body

    @property
    def token(self) -> str:
        """The administrator's token."""
        if not self._token:
            password = self.secret("auth", "admin_password")
            self._token = self.log_in("admin", password)
        return self._token

    def forget_token(self) -> None:
        """Log in again at the next call, because the token is no longer valid."""
        self._token = ""

    def log_in(self, username: str, password: str) -> str:
        """Log in and return the token."""
        answer = self.call("POST", "/api/login", {"username": username, "password": password})
        assert answer["errorCode"] == 0, answer
        token: str = answer["token"]
        return token

    def replicas(self, service: str) -> list[str]:
        """Return the containers of a service that run."""
        return self.compose("ps", "--quiet", service).split()

    def scale(self, **replicas: int) -> None:
        """Scale services to these numbers of replicas (`_` in a name for its `-`); return when all are healthy."""
        words = [f"{service.replace('_', '-')}={count}" for service, count in replicas.items()]
        scales = [word for each in words for word in ("--scale", each)]
        self.compose("up", "--detach", "--wait", "--no-build", *scales, timeout_s=UP_TIMEOUT_S)

    def run(self, *words: str, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run a program of the repository against the containers and return its output. Raises AssertionError."""
        done = subprocess.run(
            words, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def metric(self, container: str, name: str) -> float:
        """Add up a metric of a replica over its labels."""
        told = self._python(container, "http://127.0.0.1:8000/metrics")
        return sum(
            float(line.rpartition(" ")[2]) for line in told.splitlines() if line.startswith((f"{name}{{", f"{name} "))
        )

    def count_published(self) -> dict[str, int]:
        """Return container id → the number of messages that it has published, from RabbitMQ."""
        (gateway, *_) = self.replicas("gateway")
        told = self._python(gateway, "http://rabbitmq:15672/api/channels")
        hosts: dict[str, int] = {}
        for channel in json.loads(told):
            host = channel["connection_details"]["peer_host"].removeprefix("::ffff:")
            hosts[host] = hosts.get(host, 0) + channel.get("message_stats", {}).get("publish", 0)
        return {container: hosts.get(self._address(container), 0) for container in self.replicas("gateway")}

    def _python(self, container: str, url: str) -> str:
        """Read a URL from inside a container."""
        return self.run("docker", "exec", container, "python", "-Ic", ASKED_INSIDE, url)

    def _address(self, container: str) -> str:
        body = json.loads(self.run("docker", "inspect", container))[0]
        networks: dict[str, dict[str, str]] = body["NetworkSettings"]["Networks"]
        return next(where["IPAddress"] for name, where in networks.items() if name.endswith("_inside"))

    def call(self, method: str, path: str, body: Any = None, **params: str) -> dict[str, Any]:  # noqa: ANN401
        """Call the API through the edge; return the answer, with what v1 has in headers alone."""
        return read_answer(self.client.request(method, path, json=body, params=params))

    def call_raw(self, target: str, body: Any) -> dict[str, Any]:  # noqa: ANN401
        """POST with the request target in raw UTF-8, as careless clients write it; return the answer."""
        content = json.dumps(body).encode()
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            sock.sendall(head.encode() + content)
            told = b"".join(iter(lambda: sock.recv(65_536), b""))
        answer: dict[str, Any] = json.loads(told.partition(b"\r\n\r\n")[2])
        return answer

    def wait(self, holds: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait until a condition holds. Raises AssertionError with the end of the logs."""
        wait(holds, within_s, every_s=0.2, why=lambda: self.compose("logs", "--tail", "20"))


@contextmanager
def running(settings: Path = ROOT / ".env.example") -> Iterator[Containers]:
    """Run the containers for as long as the context lasts."""
    containers = Containers(settings)
    try:
        containers.start()
        yield containers
    finally:
        containers.close()
