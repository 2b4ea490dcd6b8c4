"""All of iMSG as processes, with every server and provider in the test's hand: whatever may be broken, by name."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from imsg_testing.api import Api, wait
from imsg_testing.fault_mail import Mailbox
from imsg_testing.servers import Postgres, Rabbit, Valkey, reserve_port
from imsg_testing.servers.server import Server
from imsg_testing.services import KEYS, OneService

REDIS_VARIABLE = "FAULT_REDIS_URL"
"""Names another Redis for the faults that spare it, such as Sentinels: `redis+sentinel://h1,h2,h3/NAME`."""

READY_WITHIN_S = 120.0
"""Until everybody has found everybody again: back-offs of 5 s and RabbitMQ's own start on a busy machine."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deployment is made of beside the usual: one gateway, auth, history, two senders of mail."""

    gateways: int = 1
    gateway_hosts: Sequence[str] = ()
    """With addresses, a gateway on each, all on one port, as replicas have it."""
    senders: int = 2
    common: Mapping[str, str] = field(default_factory=dict)
    """Settings of every service."""
    of_senders: Sequence[Mapping[str, str]] = ()
    """More settings, sender by sender."""
    database: Callable[[str], str] | None = None
    """Makes an owner's database and returns its URL; else it is made at the deployment's own PostgreSQL."""
    sms: Mapping[str, str] | None = None
    """With settings, a sender of SMS too."""
    has_callbacks: bool = False
    """Whether clients are told what happens, at this machine too."""
    has_catalog: bool = False
    """Whether there is a list of who may not be sent to; without it no marketing is."""


class Deployment(Api):
    """All of it, running; its own verbs speak to the first gateway."""

    def __init__(self, folder: Path, servers: tuple[Rabbit, Valkey, Postgres], mailbox: Mailbox, plan: Plan) -> None:
        self.rabbit, self.valkey, self.postgres = servers
        self.mailbox = mailbox
        common = {
            **KEYS,
            "IMSG_BROKER_URL": self.rabbit.url,
            "IMSG_REDIS_URL": os.environ.get(REDIS_VARIABLE) or self.valkey.url,
            "IMSG_DATA_DIR": str(folder),
            **plan.common,
        }

        def service(package: str, settings: Mapping[str, str]) -> OneService:
            return OneService(package, folder, {**common, **settings})

        create_database = plan.database or self.postgres.create_database
        self.auth = service("imsg_auth", {"IMSG_DATABASE_URL": create_database("auth")})
        self.history = service("imsg_history", {"IMSG_DATABASE_URL": create_database("history")})
        peers = {"IMSG_AUTH_URL": self.auth.url, "IMSG_HISTORY_URL": self.history.url}
        own = [*plan.of_senders, *[dict[str, str]()] * plan.senders][: plan.senders]
        self.senders = [service("imsg_smtp", {**peers, **mailbox.settings, **one}) for one in own]
        self.sms = None if plan.sms is None else service("imsg_sms", {**peers, **plan.sms})
        self.callbacks: OneService | None = None
        if plan.has_callbacks:
            own_settings = {
                "IMSG_DATABASE_URL": create_database("callbacks"),
                "IMSG_SECRET_KEY": "a key of callbacks' secrets, long enough",
                "IMSG_CALLBACKS__ALLOW": "127.0.0.1",
            }
            self.callbacks = service("imsg_callbacks", {**peers, **own_settings})
            peers["IMSG_CALLBACKS_URL"] = self.callbacks.url
        self.catalog: OneService | None = None
        if plan.has_catalog:
            self.catalog = service("imsg_catalog", {"IMSG_DATABASE_URL": create_database("catalog")})
            peers["IMSG_CATALOG_URL"] = self.catalog.url
        self.gateways = [service("imsg_gateway", peers) for _ in range(plan.gateways)]
        if plan.gateway_hosts:
            port = reserve_port()
            self.gateways = [
                OneService("imsg_gateway", folder, {**common, **peers}, host=host, port=port)
                for host in plan.gateway_hosts
            ]
        self.edge = ""
        """Where clients find the gateways, if not each by itself."""
        super().__init__(self.gateways[0].url)

    @property
    def services(self) -> list[OneService]:
        """All of them, owners first."""
        beside = [one for one in (self.sms, self.callbacks, self.catalog) if one is not None]
        return [self.auth, self.history, *self.senders, *beside, *self.gateways]

    @property
    def urls(self) -> Sequence[str]:
        """Where the gateways listen."""
        return [self.edge] if self.edge else [gateway.url for gateway in self.gateways]

    @property
    def servers(self) -> list[Server]:
        """What they stand on."""
        return [self.rabbit, self.valkey, self.postgres]

    @property
    def said(self) -> str:
        """The end of every service's log."""
        return "\n".join(f"== {one.log.name}\n{one.process.last_lines(8)}" for one in self.services)

    def start(self) -> None:
        """Start every service and lift the administrator's limits."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda one: one.start(), [self.auth, self.history]))
            list(pool.map(lambda one: one.start(), self.services[2:]))
        self.open_wide()

    def is_ready(self) -> bool:
        """Tell whether every process runs and every service is ready."""
        return all(one.process.runs for one in self.services) and all(one.is_ready() for one in self.services)

    def wait_until_ready(self) -> None:
        """Wait until every service is ready."""
        wait(self.is_ready, READY_WITHIN_S, every_s=0.1, why=lambda: f"not ready again\n{self.said}")

    def close(self) -> None:
        """End the services at once."""
        self.client.close()
        for one in self.services:
            one.process.kill()
            one.process.close()


@contextmanager
def deploy(folder: Path, plan: Plan = Plan()) -> Iterator[Deployment]:
    """Start servers and services of this test's own; end them with the context."""
    with ExitStack() as stack:
        servers = (Rabbit(), Valkey(), Postgres())
        for server in servers:
            stack.callback(server.close)
        with ThreadPoolExecutor(len(servers)) as pool:
            list(pool.map(lambda server: server.start(), servers))
        mailbox = stack.enter_context(Mailbox().running_apart())
        opened = Deployment(folder, servers, mailbox, plan)
        stack.callback(opened.close)
        opened.start()
        yield opened
