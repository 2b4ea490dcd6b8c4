"""All of iMSG as separate processes on RabbitMQ, PostgreSQL and Valkey, with as many gateways as a story wants."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from imsg_testing.api import Api, wait
from imsg_testing.deployment import START_TIMEOUT_S, Provider, environment, provider
from imsg_testing.parting import Parting
from imsg_testing.processes import Process
from imsg_testing.servers import Postgres, Rabbit, Valkey, reserve_port

KEYS = {
    "IMSG_SERVICE_KEY": "a key between services, long enough",
    "IMSG_TOKEN_KEY": "a key that signs tokens, long enough",
    "IMSG_ERASURE_KEY": "a key of tombstones, long enough too",
}


class OneService:
    """One service as a process; can be killed and started again on the same port."""

    def __init__(
        self,
        package: str,
        folder: Path,
        settings: dict[str, str],
        python: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
    ) -> None:
        """`host` and `port` where replicas share a port on addresses of their own."""
        self.port = port or reserve_port(self)
        self.host = host
        self.log = folder / f"{package}-{host}-{self.port}.log"
        command = [str(python or sys.executable), "-m", "imsg_web.service", package]
        given = environment({**settings, "IMSG_HOST": host, "IMSG_PORT": str(self.port)})
        self.process = Process(command, log=self.log, environment=given, cwd=folder)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start it and return when it is ready."""
        self.process.start()
        wait(self.is_ready, START_TIMEOUT_S, why=self.process.last_lines)

    def is_ready(self) -> bool:
        """Ask its readiness."""
        return self._answers("ready")

    def is_alive(self) -> bool:
        """Ask whether it serves at all, ready or not."""
        return self._answers("live")

    def _answers(self, check: str) -> bool:
        assert self.process.exit_code is None, self.process.last_lines()
        try:
            answers = httpx.get(f"{self.url}/health/{check}", timeout=5).is_success
        except httpx.TransportError:
            return False
        if answers:
            self.process.require_port(self.port)
        return answers


class Services(Api):
    """The services and their servers; its own verbs speak to the first gateway."""

    def __init__(
        self,
        gateways: list[OneService],
        auth: OneService,
        history: OneService,
        senders: list[OneService],
        sandbox: Provider,
        *,
        stores: tuple[Postgres, Valkey] | None = None,
        rabbit: Rabbit | None = None,
    ) -> None:
        super().__init__(gateways[0].url)
        self._through = [Api(gateway.url) for gateway in gateways]
        self.gateways = gateways
        self.auth = auth
        self.history = history
        self.senders = senders
        self.sandbox = sandbox
        self._stores = stores
        self._rabbit = rabbit

    @property
    def said(self) -> str:
        """The end of every service's log."""
        everything = (*self.gateways, self.auth, self.history, *self.senders)
        return "\n".join(f"== {one.log.name}\n{one.process.last_lines()}" for one in everything)

    @property
    def stores(self) -> tuple[Postgres, Valkey]:
        """The servers that keep what they were told."""
        assert self._stores is not None
        return self._stores

    @property
    def rabbit(self) -> Rabbit:
        """The broker."""
        assert self._rabbit is not None
        return self._rabbit

    def through(self, number: int) -> Api:
        """Speak to one of the gateways."""
        return self._through[number]

    def close(self) -> None:
        """Close the clients; the processes are their starter's."""
        for api in (self, *self._through):
            api.client.close()


@contextmanager
def services(folder: Path, *, gateways: int = 1, senders: int = 1) -> Iterator[Services]:
    """Start servers and services of a story's own, each with its own rights; end them with the context."""
    with ExitStack() as stack:
        rabbit = stack.enter_context(Rabbit())
        valkey = stack.enter_context(Valkey())
        postgres = stack.enter_context(Postgres())
        sandbox = stack.enter_context(provider(folder))
        parting = Parting(folder / "secrets")
        parting.at_rabbit(rabbit.url)
        asyncio.run(parting.at_redis(valkey.url))

        def start(package: str, settings: dict[str, str]) -> OneService:
            own = {
                "IMSG_TOKEN_KEY": KEYS["IMSG_TOKEN_KEY"],
                "IMSG_ERASURE_KEY": KEYS["IMSG_ERASURE_KEY"],
                "IMSG_DATA_DIR": str(folder),
                "IMSG_BROKER_URL": parting.rabbit_url(package, rabbit.url),
                "IMSG_REDIS_URL": parting.redis_url(package, valkey.url),
                **parting.keys(package),
            }
            one = OneService(package, folder, {**own, **settings})
            stack.callback(one.process.close)
            one.start()
            return one

        auth = start("imsg_auth", {"IMSG_DATABASE_URL": postgres.create_database("auth")})
        history = start("imsg_history", {"IMSG_DATABASE_URL": postgres.create_database("history")})
        catalog = start("imsg_catalog", {"IMSG_DATABASE_URL": postgres.create_database("catalog")})
        peers = {"IMSG_AUTH_URL": auth.url, "IMSG_HISTORY_URL": history.url, "IMSG_CATALOG_URL": catalog.url}
        sending = [start("imsg_smtp", {**peers, **sandbox.settings}) for _ in range(senders)]
        opened = Services(
            [start("imsg_gateway", peers) for _ in range(gateways)],
            auth,
            history,
            sending,
            sandbox,
            stores=(postgres, valkey),
            rabbit=rabbit,
        )
        stack.callback(opened.close)
        yield opened
