"""iMSG as separate processes on a RabbitMQ, a PostgreSQL and a Valkey of the test's own."""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imsg_testing.api import Api, PatientApi
from imsg_testing.fault_clients import FaultTarget
from imsg_testing.mailbox import Mailbox
from imsg_testing.sandbox_process import SandboxProcess, run_sandbox
from imsg_testing.servers import Postgres, Rabbit, Valkey, reserve_port
from imsg_testing.servers.server import Server
from imsg_testing.service import KEYS, Service
from imsg_testing.service_accounts import ServiceAccounts

REDIS_VARIABLE = "FAULT_REDIS_URL"
"""The environment variable with another Redis for the fault tests, such as `redis+sentinel://h1,h2,h3/NAME`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of a deployment beside auth, history and what follows."""

    gateways: int = 1
    gateway_hosts: Sequence[str] = ()
    """Addresses: one gateway on each, all on one port, as replicas are."""
    senders: int = 2
    """Senders of mail."""
    histories: int = 1
    """Histories, on one database; the others call the first."""
    common: Mapping[str, str] = field(default_factory=dict)
    """Settings of every service."""
    of_senders: Sequence[Mapping[str, str]] = ()
    """More settings, sender by sender."""
    database: Callable[[str], str] | None = None
    """Creates a service's database and returns its URL; by default in the deployment's own PostgreSQL."""
    sms: Mapping[str, str] | None = None
    """Settings of a sender of SMS; without them there is none."""
    has_callbacks: bool = False
    has_catalog: bool = False
    """Without the catalog's suppression list, marketing is refused."""
    schedulers: int = 1
    """Schedulers, on one database; without one, what is scheduled waits, and what Redis forgot of cancels too."""
    has_sandbox: bool = False
    """Mail goes to the sandbox; otherwise to `Services.mailbox`, which misbehaves on order."""
    python: Path | None = None
    """The Python of another version's environment; by default every service is this version's."""
    has_accounts: bool = False
    """Each service has its own user at Redis and RabbitMQ, and its own key. They are lost when Valkey restarts."""


class Services(FaultTarget):
    """The running services and servers. Its own calls go to the first gateway."""

    def __init__(self, folder: Path, plan: Plan, stack: ExitStack) -> None:
        self.rabbit, self.valkey, self.postgres = Rabbit(), Valkey(), Postgres()
        for server in self.servers:
            stack.callback(server.close)
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda server: server.start(), self.servers))
        self.sandbox: SandboxProcess | None = stack.enter_context(run_sandbox(folder)) if plan.has_sandbox else None
        self.mailbox = Mailbox()
        if self.sandbox is None:
            stack.enter_context(self.mailbox.running_apart())
        self._folder = folder
        self._plan = plan
        self._accounts = self._create_accounts() if plan.has_accounts else None

        create_database = plan.database or self.postgres.create_database
        self.auth = self._service("imsg_auth", {"IMSG_DATABASE_URL": create_database("auth")})
        own_database = {"IMSG_DATABASE_URL": create_database("history")}
        self.histories = [self._service("imsg_history", own_database) for _ in range(plan.histories)]
        self.history = self.histories[0]
        peers = {"IMSG_AUTH_URL": self.auth.url, "IMSG_HISTORY_URL": self.history.url}
        mail = (self.sandbox or self.mailbox).settings
        own = [*plan.of_senders, *[dict[str, str]()] * plan.senders][: plan.senders]
        self.senders = [self._service("imsg_smtp", {**peers, **mail, **settings}) for settings in own]
        self.sms = None if plan.sms is None else self._service("imsg_sms", {**peers, **plan.sms})
        self.callbacks: Service | None = None
        if plan.has_callbacks:
            own_settings = {
                "IMSG_DATABASE_URL": create_database("callbacks"),
                "IMSG_SECRET_KEY": plan.common.get("IMSG_SECRET_KEY", "a key of callbacks' secrets, long enough"),
                "IMSG_CALLBACKS__ALLOW": "127.0.0.1",
            }
            self.callbacks = self._service("imsg_callbacks", {**peers, **own_settings})
            peers["IMSG_CALLBACKS_URL"] = self.callbacks.url
        self.catalog: Service | None = None
        if plan.has_catalog:
            self.catalog = self._service("imsg_catalog", {"IMSG_DATABASE_URL": create_database("catalog")})
            peers["IMSG_CATALOG_URL"] = self.catalog.url
        self.schedulers: list[Service] = []
        if plan.schedulers:
            own_url = {**peers, "IMSG_DATABASE_URL": create_database("scheduler")}
            self.schedulers = [self._service("imsg_scheduler", own_url) for _ in range(plan.schedulers)]
            peers["IMSG_SCHEDULER_URL"] = self.schedulers[0].url
        port = reserve_port() if plan.gateway_hosts else None
        hosts = plan.gateway_hosts or ["127.0.0.1"] * plan.gateways
        self.gateways = [self._service("imsg_gateway", peers, host=host, port=port) for host in hosts]
        self.edge = ""
        """The URL in front of the gateways, if there is one."""
        super().__init__(self.gateways[0].url)
        self._apis = [PatientApi(gateway.url) for gateway in self.gateways]

    @property
    def services(self) -> list[Service]:
        """Every service, those with a database first."""
        optional = [service for service in (self.sms, self.callbacks, self.catalog) if service is not None]
        return [self.auth, *self.histories, *self.senders, *optional, *self.schedulers, *self.gateways]

    @property
    def urls(self) -> Sequence[str]:
        """The URLs that clients use."""
        return [self.edge] if self.edge else [gateway.url for gateway in self.gateways]

    @property
    def servers(self) -> list[Server]:
        """The servers below the services."""
        return [self.rabbit, self.valkey, self.postgres]

    @property
    def logs(self) -> str:
        """The end of every service's log."""
        return "\n".join(f"== {service.log.name}\n{service.process.last_lines(8)}" for service in self.services)

    def received(self) -> list[dict[str, Any]]:
        """Return what the sandbox has received."""
        assert self.sandbox is not None
        return self.sandbox.inbox()

    def through(self, number: int) -> Api:
        """Return a client of one of the gateways."""
        return self._apis[number]

    def start(self) -> None:
        """Start every service and lift the administrator's limits."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda service: service.start(), [self.auth, self.history]))
            list(pool.map(lambda service: service.start(), self.services[2:]))
        self.open_wide()

    def is_ready(self) -> bool:
        """Return whether every service runs and is ready."""
        return all(service.process.runs for service in self.services) and all(
            service.is_ready() for service in self.services
        )

    def close(self) -> None:
        """End the services at once."""
        for api in (self, *self._apis):
            api.client.close()
        for service in self.services:
            service.process.kill()
            service.process.close()

    def _create_accounts(self) -> ServiceAccounts:
        accounts = ServiceAccounts(self._folder / "secrets")
        accounts.create_at_rabbit(self.rabbit.url)
        asyncio.run(accounts.create_at_redis(self.valkey.url))
        return accounts

    def _service(
        self, package: str, settings: Mapping[str, str], *, host: str = "127.0.0.1", port: int | None = None
    ) -> Service:
        common = {
            **KEYS,
            "IMSG_BROKER_URL": self.rabbit.url,
            "IMSG_REDIS_URL": os.environ.get(REDIS_VARIABLE) or self.valkey.url,
            "IMSG_DATA_DIR": str(self._folder),
        }
        if self._accounts is not None:
            del common["IMSG_SERVICE_KEY"]
            common |= {
                "IMSG_BROKER_URL": self._accounts.rabbit_url(package, self.rabbit.url),
                "IMSG_REDIS_URL": self._accounts.redis_url(package, self.valkey.url),
                **self._accounts.keys(package),
            }
        own = {**common, **self._plan.common, **settings}
        return Service(package, self._folder, own, self._plan.python, host=host, port=port)


@contextmanager
def deploy(folder: Path, plan: Plan = Plan()) -> Iterator[Services]:
    """Run servers and services of the test's own for as long as the context lasts."""
    with ExitStack() as stack:
        opened = Services(folder, plan, stack)
        stack.callback(opened.close)
        opened.start()
        yield opened
