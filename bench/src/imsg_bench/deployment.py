"""The services of iMSG as processes with production settings, and the stand-ins around them."""

import json
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import redis

from imsg_bench.counts import Counts
from imsg_bench.servers import Servers, Share, make_folder, share
from imsg_bench.users import add_users, cache_users
from imsg_channels import METHODS
from imsg_contract.topology import CANCELS, CANCELS_COMPLETE, SUPPRESSED_COMPLETE, suppressed_key
from imsg_testing.api import Api
from imsg_testing.processes import Process
from imsg_testing.servers import accepts, reserve_port
from imsg_testing.service import KEYS, Service, environment
from imsg_testing.waiting import wait

START_TIMEOUT_S = 60.0
STARTED_AT_ONCE = 6

CONTENT = {
    "subject": "您的订单已发货",
    "text": "您好，您的订单 20261125-0042 已经发货，预计明天送达。\n"
    "如有问题请直接回复本邮件，我们会尽快答复。\n\n天存信息",
}
"""A mail as our users send it: some 200 bytes."""


class Deployment:
    """The processes of a measurement: those of iMSG end with the stack, all others with `opened`."""

    def __init__(self, stack: ExitStack, servers: Servers) -> None:
        self.stack = stack
        self._lasting = stack
        self.folder = make_folder(stack)
        self.share: Share = stack.enter_context(share(servers))
        self._settings: dict[str, str] = {
            **KEYS,
            "IMSG_BROKER_URL": self.share.broker_url,
            "IMSG_REDIS_URL": self.share.redis_url,
            "IMSG_DATA_DIR": str(self.folder),
            "IMSG_LOG_LEVEL": "INFO",
            "IMSG_AUTH_URL": "http://127.0.0.1:1",
            "IMSG_HISTORY_URL": "http://127.0.0.1:1",
        }
        self._api: Api | None = None
        self._users_database = ""
        self._starter = stack.enter_context(ThreadPoolExecutor(STARTED_AT_ONCE))
        self._starts: list[Future[None]] = []
        self._services: dict[str, Service] = {}

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open a context; what is started in it ends with it, but for the services that are begun."""
        outer = self.stack
        try:
            with ExitStack() as self.stack:
                yield
        finally:
            self.stack = outer

    @property
    def servers(self) -> Servers:
        """The servers."""
        return self.share.servers

    def service(self, package: str, settings: Mapping[str, str] = {}, python: Path | None = None) -> Service:
        """Make one of our services, in another environment where `python` is its; it is not started yet."""
        service_ = self._make(package, settings, python)
        self.stack.callback(service_.process.close)
        return service_

    def _make(self, package: str, settings: Mapping[str, str], python: Path | None = None) -> Service:
        return Service(package, self.folder, {**self._settings, **settings}, python)

    def begin(self, package: str, settings: Mapping[str, str] = {}) -> Service:
        """Start one of our services beside others unless it runs; `wait_started` returns when all are ready."""
        known = self._services.get(package)
        if known is not None and known.process.runs:
            return known
        service_ = self._services[package] = self._make(package, settings)
        self._lasting.callback(service_.process.close)
        self._starts.append(self._starter.submit(service_.start))
        return service_

    def wait_started(self) -> None:
        """Wait until all services that were begun are ready."""
        while self._starts:
            self._starts.pop().result()

    def auth(self) -> Service:
        """Begin auth on a database of its own."""
        self._users_database = self.share.database("auth")
        service_ = self.begin("imsg_auth", {"IMSG_DATABASE_URL": self._users_database})
        self._settings["IMSG_AUTH_URL"] = service_.url
        return service_

    def history(self, database: str | None = None) -> Service:
        """Begin history; on a database of its own where none is given."""
        service_ = self.begin("imsg_history", {"IMSG_DATABASE_URL": database or self.share.database("history")})
        self._settings["IMSG_HISTORY_URL"] = service_.url
        return service_

    def catalog(self, database: str | None = None) -> Service:
        """Begin catalog and scheduler in one process, as containers have them; on a database of their own by default.

        Senders begin nothing before both have written their mirrors in Redis; `wait_started` waits for these too.
        """
        url = database or self.share.database("catalog")
        service_ = self.begin("imsg_catalog imsg_scheduler", {"IMSG_DATABASE_URL": url})
        self._starts.append(self._starter.submit(self._wait_mirrored))
        return service_

    def _wait_mirrored(self) -> None:
        with redis.Redis.from_url(self.share.redis_url) as client:
            wait(lambda: _are_mirrored(client), START_TIMEOUT_S)

    def callbacks(self) -> Service:
        """Begin callbacks on a database of its own, allowed to call this machine."""
        settings = {
            "IMSG_DATABASE_URL": self.share.database("callbacks"),
            "IMSG_SECRET_KEY": "a key of callbacks' secrets, long enough",
            "IMSG_CALLBACKS__ALLOW": "127.0.0.1",
        }
        service_ = self.begin("imsg_callbacks", settings)
        self._settings["IMSG_CALLBACKS_URL"] = service_.url
        return service_

    def callback_sink(self) -> str:
        """Start a receiver of callbacks that takes everything; return its URL."""
        port = reserve_port(self)
        self.start_listener("imsg_bench.callback_sink", port, str(port))
        return f"http://127.0.0.1:{port}/"

    def gateway(self) -> Service:
        """Start a gateway, wait for all services, and lift the administrator's limits as far as can be."""
        service_ = self.begin("imsg_gateway")
        self.wait_started()
        self._api = Api(service_.url)
        self.stack.callback(self._api.client.close)
        self._api.open_wide()
        return service_

    def mail_sender(self, port: int, connections: int = 16) -> Service:
        """Make sender-smtp for a server on the loopback; it is not started yet."""
        server = {"HOST": "127.0.0.1", "PORT": port, "SECURITY": "none", "SENDER": "imsg@example.com"}
        settings = {f"IMSG_SMTP__{name}": str(value) for name, value in server.items()}
        return self.service("imsg_smtp", {**settings, "IMSG_SMTP__CONNECTIONS": str(connections)})

    @property
    def api(self) -> Api:
        """The public API. Raises RuntimeError before a gateway is started."""
        if self._api is None:
            raise RuntimeError("no gateway was started")
        return self._api

    def sink(self) -> tuple[int, Counts]:
        """Start a mail server that takes everything; return its port and its counts."""
        port, counts = reserve_port(self), Counts(self.folder / "mails")
        self.start_listener("imsg_bench.sink", port, str(port), str(self.folder))
        return port, counts

    def far(self, port: int, one_way_s: float) -> int:
        """Delay a server of the loopback by a proxy; return the proxy's port."""
        proxy_port = reserve_port(self)
        self.start_listener("imsg_bench.far", proxy_port, str(proxy_port), str(port), str(one_way_s))
        return proxy_port

    def stub(self) -> tuple[int, Counts]:
        """Start an SMS provider; return its port and its counts."""
        counts = Counts(self.folder / "texts")
        port = reserve_port(self)
        self.start_listener("imsg_bench.stub", port, str(port), str(self.folder))
        return port, counts

    def program(self, *words: str, variables: Mapping[str, str] = {}, python: Path | None = None) -> Process:
        """Start a module of Python's as a process."""
        log = self.folder / f"{words[0]}.log"
        command = [str(python or sys.executable), "-m", *words]
        process = Process(command, log=log, environment=environment(variables), cwd=self.folder)
        self.stack.callback(process.close)
        process.start()
        return process

    def start_listener(self, module: str, port: int, *words: str, variables: Mapping[str, str] = {}) -> Process:
        """Start a module of Python's that listens on a port; return when it does."""
        process = self.program(module, *words, variables=variables)
        wait_for(process, port)
        return process

    def serve(
        self,
        name: str,
        variables: Mapping[str, str],
        *words: str,
        python: Path | None = None,
    ) -> tuple[str, Process]:
        """Serve an ASGI app by uvicorn and uvloop as iMSG is served, without logs; return its URL and process."""
        port = reserve_port(self)
        process = self.program(
            "uvicorn",
            *words,
            name,
            *("--port", str(port), "--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--log-level", "warning", "--no-server-header"),
            variables=variables,
            python=python,
        )
        wait_for(process, port)
        return f"http://127.0.0.1:{port}", process

    def body(self, to: str | list[str] = "zhang@example.com", name: str = "body.json", **more: object) -> Path:
        """Write the body of POST /api/send with a token that holds."""
        path = self.folder / name
        path.write_text(body_of(self.api.token(), to, **more))
        return path

    def bodies(self, name: str = "bodies.jsonl") -> Path:
        """Write such a body for each of many users, one a line; they are added to auth's database."""
        path = self.folder / name
        tokens = add_users(self._users_database, KEYS["IMSG_TOKEN_KEY"])
        cache_users(self.api.client, tokens)
        path.write_text("\n".join(map(body_of, tokens)))
        return path

    def depth(self, queue: str) -> int:
        """Count what is ready and unacked in a queue, as the management API knows it (some seconds late)."""
        answer = self.servers.broker.manage("GET", f"queues/{self.share.host}/{queue}?columns=messages").json()
        return int(answer.get("messages", 0))


def body_of(token: str, to: str | list[str] = "zhang@example.com", **more: object) -> str:
    """Write the body of POST /api/send of a mail."""
    return json.dumps({"token": token, "to": to, "method": "smtp", "content": CONTENT, **more}, ensure_ascii=False)


def _are_mirrored(client: "redis.Redis") -> bool:
    """Return whether Redis has all that is cancelled and all that is suppressed."""
    return bool(client.hexists(CANCELS, CANCELS_COMPLETE)) and all(
        client.hexists(suppressed_key(method), SUPPRESSED_COMPLETE) for method in METHODS
    )


def wait_for(process: Process, port: int) -> None:
    """Wait until a process listens."""

    def listens() -> bool:
        assert process.runs, process.last_lines()  # noqa: S101  why it is waited for in vain
        return accepts(port) and process.serves(port)

    wait(listens, START_TIMEOUT_S)


def is_ready(url: str) -> bool:
    """Return whether a service is ready."""
    try:
        return httpx.get(f"{url}/health/ready", timeout=5).is_success
    except httpx.TransportError:
        return False
