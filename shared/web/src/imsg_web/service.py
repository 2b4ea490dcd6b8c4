"""A service as an ASGI app with health and metrics, and the process that serves one or several."""

import gc

if __name__ == "__main__":
    # Before anything is loaded, so that the parent that stays behind is small (ADR 15).
    from imsg_runtime.watchdog import watch

    watch()
    gc.disable()  # until everything is loaded: imports leave little garbage

import asyncio
import importlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import uvloop
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_contract.findings import Finding, Replica, make_finding
from imsg_contract.version import VERSION
from imsg_runtime import secret_files, unknown_settings
from imsg_runtime.heartbeat import UNWATCHED, Heartbeat
from imsg_runtime.logs import configure, logger
from imsg_runtime.masking import mask_line
from imsg_runtime.memory import release_memory
from imsg_runtime.settings import Common, StartError
from imsg_web.bodies import InboundLimits
from imsg_web.clients import Clients
from imsg_web.hosts import HostCheck, Hosts
from imsg_web.responses import LOGGED_AS, ApiResponse, Refuse, add_private_headers, ok, refuse, refuse_with, report
from imsg_web.server import listen, serve

log = logger(__name__)

BACKGROUND_NICENESS = 5
"""The niceness of a background service: on busy cores it gets a third of the time of others."""

COLLECT_AFTER = 10_000
"""The threshold of the garbage collector: Python's default, 700 objects, is reached by five requests."""

_LOOK = ("运行 `imsg doctor` 查看原因。", "`imsg doctor` looks into it.")

_STOPPING = Refusal("unavailable", retry_after_s=3)

OpenService = Callable[["Service"], AbstractAsyncContextManager[ASGIApp]]
"""Opens a service's parts in order, yields its API, and closes them in reverse."""


class Service:
    """One service as an ASGI app.

    `open_service` is the wiring of its main; `run` enters `running`.
    """

    def __init__(
        self,
        name: str,
        settings: Common,
        open_service: OpenService,
        refuse: Refuse = refuse,
        *,
        is_background: bool = False,
    ) -> None:
        """`is_background`: its work may wait where the machine is busy; in its own process it has a lower priority."""
        self.name = name
        self.settings = settings
        self.metrics = CollectorRegistry()
        self.stopping = asyncio.Event()
        """Set when the process is to end: new work is not accepted."""
        self.inbound_limits = InboundLimits(Clients(settings.trusted_proxies))
        """Bounds the bodies of requests; one for all services of a process."""
        self.heartbeat = UNWATCHED
        """The heartbeat to the watchdog of the process; set before it runs."""
        self._open_service = open_service
        self.is_background = is_background
        self.refuse = refuse
        self._api: ASGIApp | None = None
        self._checks: dict[str, Callable[[], bool]] = {}
        self._warnings: dict[str, Callable[[], Sequence[str]]] = {}
        self._reports: list[Callable[[], Iterable[Finding]]] = []
        self._since = datetime.now(UTC)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[BaseException] | None = None
        ready = Gauge("imsg_ready", "1 while the service is ready", registry=self.metrics)
        ready.set_function(lambda: float(not self.unmet()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open the parts, serve while the context lasts, and close them. Raises StartError where a setting is wrong."""
        self._failure = asyncio.get_running_loop().create_future()
        async with self._open_service(self) as api:
            self._api = api
            log.info("started", service=self.name)
            try:
                yield
            finally:
                self.stopping.set()
                self._api = None
                await self._end_tasks()

    def check(self, name: str, holds: Callable[[], bool]) -> None:
        """Add a condition of readiness."""
        self._checks[name] = holds

    def warn(self, name: str, list_warnings: Callable[[], Sequence[str]]) -> None:
        """Add a warning to the answer of readiness, which does not make the service unready."""
        self._warnings[name] = list_warnings

    def report(self, find: Callable[[], Iterable[Finding]]) -> None:
        """Add a check's findings to the replica's status."""
        self._reports.append(find)

    def describe(self) -> Replica:
        """Return the report of this replica for `GET /api/v2/status`."""
        # While it opens, its conditions are not all there yet.
        unmet = () if self._api is None and not self.stopping.is_set() else tuple(self.unmet())
        warnings = [
            make_finding(name, "fault", (text, text), _LOOK)
            for name, list_warnings in self._warnings.items()
            for text in list_warnings()
        ]
        return Replica(
            service=self.name,
            replica=f"{socket.gethostname()}:{os.getpid()}",
            version=VERSION,
            since=self._since,
            conditions=tuple(self._checks),
            unmet=unmet,
            findings=(*warnings, *(finding for find in self._reports for finding in find())),
        )

    def watch(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run work in the background; if it fails, the process ends."""
        task = asyncio.create_task(work, name=f"{self.name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._on_end)
        return task

    async def failure(self) -> BaseException:
        """Wait until a background task has failed; return its exception."""
        assert self._failure is not None, "not running"  # noqa: S101  a bug of the caller
        return await asyncio.shield(self._failure)

    def unmet(self) -> list[str]:
        """Return the conditions of readiness that do not hold."""
        if self._api is None:
            return ["open"]
        if self.stopping.is_set():
            return ["stopping"]
        return [name for name, holds in self._checks.items() if not holds()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer health and metrics, and pass other requests to the API."""
        if scope["type"] != "http":
            if self._api is not None and scope["type"] == "websocket":
                await self._api(scope, receive, send)
            return
        match scope["path"]:
            case "/health/live":
                await ApiResponse(ok(service=self.name))(scope, receive, send)
            case "/health/open":  # for the edge: whether new requests are to come, a while before the port closes
                await (refuse_with(_STOPPING, "") if self.stopping.is_set() else ApiResponse(ok()))(
                    scope, receive, send
                )
            case "/health/ready":
                await self._readiness(scope)(scope, receive, send)
            case "/metrics":
                await Response(generate_latest(self.metrics), media_type=CONTENT_TYPE_LATEST)(scope, receive, send)
            case _ if self._api is None:
                refusal = Refusal("unavailable", retry_after_s=3)
                await self.refuse(refusal, _language(scope), scope["path"])(scope, receive, send)
            case _:
                await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_on(message: Any) -> None:  # noqa: ANN401  an ASGI message
            nonlocal started
            started = True
            await send(add_private_headers(message))

        assert self._api is not None  # noqa: S101  checked by the caller
        try:
            await self._api(scope, receive, send_on)
        except Refusal as refusal:
            if not started:
                await self.refuse(refusal, _language(scope), scope["path"])(scope, receive, send)
        except Exception as error:
            if started:
                if not any(note.startswith(LOGGED_AS) for note in getattr(error, "__notes__", [])):
                    log.exception("bug")
                return
            await self.refuse(report(error), _language(scope), scope["path"])(scope, receive, send)

    def _readiness(self, scope: Scope) -> ApiResponse:
        if unmet := self.unmet():
            refusal = Refusal("unavailable", extra={"service": self.name, "unmet": unmet}, retry_after_s=3)
            return refuse_with(refusal, _language(scope))
        warnings = {
            name: list(messages) for name, list_warnings in self._warnings.items() if (messages := list_warnings())
        }
        return ApiResponse(ok(service=self.name, **({"warnings": warnings} if warnings else {})))

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None or self._failure is None:
            return
        log.error("task_died", task=task.get_name(), exc_info=error)
        if not self._failure.done():
            self._failure.set_result(error)

    async def _end_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class JoinedServices:
    """Services that share a port: the host name of a request says which one is meant, or `?service=` of /metrics does.

    A name that is none of theirs means the first, the readiness of all, and the metrics of all.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._by_name = {service.name: service for service in services}
        self._metrics = CollectorRegistry()
        self._metrics.register(_JoinedMetrics(services))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to its service."""
        service = self._by_name.get(self._read_name(scope))
        if service is None and scope["path"] == "/metrics":
            await Response(generate_latest(self._metrics), media_type=CONTENT_TYPE_LATEST)(scope, receive, send)
            return
        if service is None and scope["path"] == "/health/ready":
            service = next((service for service in self._services if service.unmet()), None)
        await (service or self._services[0])(scope, receive, send)

    def _read_name(self, scope: Scope) -> str:
        if scope["type"] != "http":
            return ""
        request = Request(scope)
        service = request.query_params.get("service") if scope["path"] == "/metrics" else None
        return service or request.headers.get("host", "").partition(":")[0]


class _JoinedMetrics(Collector):
    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """Yield what each has, but whether it is ready: this they all have."""
        for service in self._services:
            yield from (metric for metric in service.metrics.collect() if metric.name != "imsg_ready")
        are_ready = not any(service.unmet() for service in self._services)
        yield GaugeMetricFamily("imsg_ready", "1 while all services are ready", value=are_ready)


def _language(scope: Scope) -> str:
    return Request(scope).headers.get("accept-language", "")


async def run(services: Sequence[Service]) -> int:
    """Bind, open, serve and close a service, or those that share a process; return the exit code."""
    first, *others = services
    app = JoinedServices(services) if others else first
    sock = listen(first.settings.host, first.settings.port)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(first.heartbeat.run())
        for service in services:
            await stack.enter_async_context(service.running())

        def stop() -> None:
            for service in services:
                service.stopping.set()

        failure = asyncio.create_task(_find_failure(services))
        stack.callback(failure.cancel)
        return await serve(
            HostCheck(app, Hosts(first.settings), first.refuse),
            sock,
            first.inbound_limits,
            on_stop=stop,
            failure=failure,
            is_ready=lambda: not any(service.unmet() for service in services),
        )


async def _find_failure(services: Sequence[Service]) -> BaseException:
    tasks = [asyncio.create_task(service.failure()) for service in services]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()


def tune_garbage_collector() -> None:
    """Run the garbage collector, on again after the imports, less often and not over them (docs/performance.md)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    gc.enable()
    release_memory()


def make_services(packages: Sequence[str]) -> list[Service]:
    """Make the services of packages that share a process, each with the settings and secrets of its own.

    Raises StartError for a wrong setting.
    """
    environment = dict(os.environ)
    services = []
    for package in packages:
        if len(packages) > 1:
            own = secret_files.fill_own(environment, package.removeprefix("imsg_"))
            os.environ.clear()
            os.environ.update(own)
        services.append(importlib.import_module(f"{package}.main").app())
    return services


def main(arguments: list[str]) -> int:
    """Run the services of the packages named, such as `imsg_smtp`; exit code 2 where a setting forbids the start."""
    heartbeat = Heartbeat.from_environment(os.environ)
    try:
        services = make_services(arguments)
        for service in services:
            service.heartbeat = heartbeat
        configure(services[0].settings.log_level, services[0].settings.log_format)
        for unknown in unknown_settings.find([type(service.settings) for service in services]):
            log.warning("setting_unknown", why=str(unknown))
        tune_garbage_collector()
        if all(service.is_background for service in services):
            os.nice(BACKGROUND_NICENESS)
        return uvloop.run(run(services))
    except StartError as error:
        print(f"imsg: {mask_line(str(error))}", file=sys.stderr)  # noqa: T201  the one clear line
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
