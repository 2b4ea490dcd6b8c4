"""A deployment whose alerts Prometheus watches, and the commands of their runbooks."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from imsg_channels import CHANNELS
from imsg_testing.api import DOCUMENTED
from imsg_testing.command_line import run_imsg
from imsg_testing.databases import open_database
from imsg_testing.fault_clients import Clients
from imsg_testing.receiver import Receiver, receiving
from imsg_testing.servers import Dovecot, Prometheus
from imsg_testing.service import Service, environment
from imsg_testing.services import Services

NAMES = {f"imsg_{channel.service.removeprefix('sender-')}": channel.service for channel in CHANNELS}
"""The packages whose service has another name."""


@dataclass
class Site:
    """What runs, and what Prometheus sees of it."""

    folder: Path
    deployment: Services
    dovecot: Dovecot
    prometheus: Prometheus
    clients: Clients
    hidden: set[str] = field(default_factory=set)
    """The URLs of services that Prometheus does not see."""
    replicas: list[Service] = field(default_factory=list)
    logged_in: set[str] = field(default_factory=set)
    """The URLs of gateways at which `imsg` is logged in."""

    def scrape(self) -> None:
        """Configure Prometheus with every service that is not hidden."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for service in (*self.deployment.services, *self.replicas):
            if service.url not in self.hidden:
                found[self.name(service)].append(service.url.removeprefix("http://"))
        self.prometheus.scrape(found)

    def run_command(self, command: str) -> str | None:
        """Run a command of a runbook here, and return what it prints; None where only containers have it."""
        match shlex.split(command):
            case ["docker", "compose", "run", "--rm", "cli", *verb]:
                return self._run_cli(*verb)
            case ["docker", "compose", "logs", *words]:
                words += ["scheduler"] * ("catalog" in words)  # they share a container
                logged = [
                    service.log
                    for service in (*self.deployment.services, *self.replicas)
                    if self.name(service) in words
                ]
                return "".join(log.read_text(errors="replace") for log in logged) if logged else None
            case ["docker", "compose", "exec", "-T", "rabbitmq", program, *words]:
                return self.deployment.rabbit.run(program, *words)
        return None

    def _run_cli(self, *verb: str) -> str:
        """Run `imsg` at the newest gateway, as the administrator."""
        gateways = [self.deployment.gateways[0], *self.replicas]
        url = next(gateway.url for gateway in reversed(gateways) if gateway.package == "imsg_gateway")
        if url not in self.logged_in and verb[0] != "login":
            self.logged_in.add(url)
            self._run_cli("login", "admin", "--password", DOCUMENTED["admin"])
        given = {"IMSG_GATEWAY_URL": url, "XDG_CONFIG_HOME": str(self.folder), "LC_ALL": "C.UTF-8", "COLUMNS": "200"}
        done = run_imsg(*verb, env=environment(given), cwd=self.folder)
        return done.stdout + done.stderr

    @staticmethod
    def name(service: Service) -> str:
        """Return the name that a service has among the containers."""
        return NAMES.get(service.package, service.package.removeprefix("imsg_"))

    @contextmanager
    def hiding(self, *services: Service) -> Iterator[None]:
        """Hide services from Prometheus while the context is open."""
        urls = {service.url for service in services}
        self.hidden |= urls
        self.scrape()
        yield
        self.hidden -= urls
        self.scrape()

    @contextmanager
    def running(self, replica: Service) -> Iterator[None]:
        """Run a replica for as long as the context lasts."""
        with closing(replica.process):
            replica.start()
            self.replicas.append(replica)
            self.scrape()
            yield
            self.replicas.remove(replica)
            self.scrape()

    def is_scraped(self) -> bool:
        """Return whether Prometheus has read every service; it misses what was counted before."""
        read = {series["metric"]["instance"] for series in self.prometheus.query("up == 1")}
        return {service.url.removeprefix("http://") for service in self.deployment.services} <= read

    def list_in(self, *states: str) -> set[str]:
        """Return the alerts that are in one of these states."""
        return {name for name, state in self.prometheus.read_states().items() if state in states}

    def call(self, method: str, path: str, /, **fields: object) -> dict[str, Any]:
        """Call the API as the administrator."""
        answer = self.deployment.call(method, path, {"token": self.deployment.token(), **fields})
        assert answer["errorCode"] == 0, answer
        return answer

    def is_open(self, method: str) -> bool:
        """Return whether a channel sends messages."""
        channels = self.call("GET", "/api/v2/channels")["channels"]
        return bool({channel["method"]: channel["state"] for channel in channels}[method] == "open")

    def send(self, to: str | Sequence[str], **fields: object) -> str:
        """Send a mail as the administrator; return the request."""
        fields = {"method": "smtp", "content": {"subject": "x", "text": "y"}, **fields}
        return str(self.call("POST", "/api/v2/messages", to=to, **fields)["id"])

    def control_broker(self, verb: str, path: str, **fields: object) -> httpx.Response:
        """Call the broker's own API."""
        url = f"http://127.0.0.1:{self.deployment.rabbit.management_port}/api/{path}"
        return httpx.request(verb, url, json=fields or None, auth=("guest", "guest"), timeout=60).raise_for_status()

    def publish(self, key: str, body: str) -> None:
        """Publish at the broker past iMSG."""
        message = {"routing_key": key, "properties": {}, "payload": body, "payload_encoding": "string"}
        assert self.control_broker("POST", "exchanges/%2F/imsg/publish", **message).json() == {"routed": True}

    @contextmanager
    def telling(self, status: int) -> Iterator[Receiver]:
        """Send callbacks for the clients' mails to an endpoint that gives this answer, while the context is open."""
        with receiving() as receiver:
            receiver.status = status
            token = self.clients.token
            body = {"url": receiver.url(), "events": ["message.sent"], "token": token}
            answer = self.deployment.call("POST", "/api/v2/callbacks", body)
            assert answer["errorCode"] == 0, answer
            yield receiver
            self.deployment.call("DELETE", f"/api/v2/callbacks/{answer['id']}", token=token)

    @contextmanager
    def locking(self, database: str, table: str) -> Iterator[None]:
        """Lock a table against writes while the context is open."""
        with open_database(self.deployment.postgres.url_of(database)) as engine, engine.connect() as connection:
            connection.execute(text(f"LOCK TABLE {table} IN EXCLUSIVE MODE"))
            yield
