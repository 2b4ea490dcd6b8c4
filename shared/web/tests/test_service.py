"""The frame: readiness, a clear port error, a quiet end, and a dead task that ends the process."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from prometheus_client import Gauge
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from imsg_broker.connect import open_broker
from imsg_runtime.settings import Common, StartError
from imsg_web.server import listen
from imsg_web.service import JoinedServices, Service


@asynccontextmanager
async def opening(service: Service) -> AsyncIterator[ASGIApp]:
    """Open nothing and answer hello."""
    del service
    yield PlainTextResponse("hello")


def client(service: Service) -> httpx.AsyncClient:
    """Open a client to the service."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://test")


async def test_a_service_is_ready_only_while_it_runs_and_all_its_checks_hold() -> None:
    """Live means the process answers; ready means send me work."""
    service = Service("greeter", Common(), opening)
    broker_is_up = False
    service.check("broker", lambda: broker_is_up)
    async with client(service) as http:
        assert (await http.get("/health/live")).status_code == 200
        assert (await http.get("/health/ready")).json()["unmet"] == ["open"]
        assert (await http.get("/hello")).json()["reason"] == "unavailable"
        async with service.running():
            assert (await http.get("/health/ready")).json()["unmet"] == ["broker"]
            assert (await http.get("/health/open")).status_code == 200, "ready or not: it answers for itself"
            broker_is_up = True
            assert (await http.get("/health/ready")).status_code == 200
            assert (await http.get("/hello")).text == "hello"
            service.stopping.set()
            assert (await http.get("/health/ready")).json()["unmet"] == ["stopping"]
            assert (await http.get("/health/open")).status_code == 503, "the edge hands it nothing new"
            assert (await http.get("/hello")).text == "hello", "what still arrives is served"


async def test_a_background_task_that_dies_is_the_failure_of_the_service() -> None:
    """A service without one of its tasks is of no use."""

    async def work() -> None:
        raise ZeroDivisionError

    service = Service("greeter", Common(), opening)
    async with service.running():
        service.watch(work(), "work")
        async with asyncio.timeout(60):
            assert isinstance(await service.failure(), ZeroDivisionError)


async def test_services_that_share_a_port_are_distinguished_by_the_host_of_a_request() -> None:
    """Who asks by an address or by the name of people means the first; ready are they only together."""
    names = ("catalog", "scheduler")
    catalog, scheduler = (Service(name, Common(), opening) for name in names)
    joined = httpx.ASGITransport(JoinedServices([catalog, scheduler]))
    async with httpx.AsyncClient(transport=joined) as http, catalog.running():
        for host, told in {"catalog:8000": "catalog", "scheduler:8000": "scheduler", "127.0.0.1": "catalog"}.items():
            assert (await http.get(f"http://{host}/health/live")).json()["service"] == told
        ready = {host: (await http.get(f"http://{host}/health/ready")).status_code for host in (*names, "127.0.0.1")}
        assert ready == {"catalog": 200, "scheduler": 503, "127.0.0.1": 503}
        assert (await http.get("http://imsg.example.com/hello")).text == "hello", "another is not ready, this one is"
        Gauge("imsg_scheduler_overdue_seconds", "", registry=scheduler.metrics).set(7)
        metrics = {
            query: (await http.get(f"http://127.0.0.1/metrics{query}")).text for query in ("", "?service=catalog")
        }
        assert metrics[""].count("\nimsg_ready 0.0") == 1
        assert "\nimsg_scheduler_overdue_seconds 7.0" in metrics[""]
        assert "overdue" not in metrics["?service=catalog"]
        assert "\nimsg_ready 1.0" in metrics["?service=catalog"]
        async with scheduler.running():
            assert (await http.get("http://127.0.0.1/health/ready")).status_code == 200


def test_a_taken_port_is_one_line_that_names_the_setting() -> None:
    """Not a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"127\.0\.0\.1:{port} can't be listened on .*IMSG_PORT"):
            listen("127.0.0.1", port)


def test_a_broker_url_of_another_kind_is_refused() -> None:
    """The two brokers are chosen by the URL alone."""
    with pytest.raises(StartError, match="IMSG_BROKER_URL"):
        open_broker("kafka://localhost")


SLEEPER = """
import sys
from contextlib import asynccontextmanager
from starlette.responses import PlainTextResponse
from imsg_web import service
from imsg_runtime.settings import Common

@asynccontextmanager
async def opening(_):
    try:
        yield PlainTextResponse("hello")
    finally:
        print("closed", flush=True)

class module:
    app = staticmethod(lambda: service.Service("sleeper", service_settings, opening))

service_settings = Common(port=int(sys.argv[1]))
sys.modules["sleeper.main"] = module
sys.modules["sleeper"] = module
sys.exit(service.main(["sleeper"]))
"""


LATE = """
import asyncio, os, signal, sys
from contextlib import asynccontextmanager
from starlette.responses import PlainTextResponse
from imsg_web import service
from imsg_runtime.settings import Common

@asynccontextmanager
async def opening(late):
    ready = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, ready.set)
    late.check("told", ready.is_set)
    print("open", flush=True)
    yield PlainTextResponse("hello")

class module:
    app = staticmethod(lambda: service.Service("late", Common(port=int(sys.argv[1])), opening))

sys.modules["late.main"] = sys.modules["late"] = module
sys.exit(service.main(["late"]))
"""


async def test_the_port_opens_once_the_service_is_ready(reserved_port: int) -> None:
    """A name finds a replica as soon as it runs: it is not asked before it can answer."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LATE, str(reserved_port), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = f"http://127.0.0.1:{reserved_port}"
    async with asyncio.timeout(60), httpx.AsyncClient(timeout=30) as http:
        assert await process.stdout.readline() == b"open\n"
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{url}/health/live")
        process.send_signal(signal.SIGUSR1)
        await _until_answers(http, f"{url}/hello")
        assert (await http.get(f"{url}/health/ready")).status_code == 200
    process.terminate()
    await process.communicate()
    assert process.returncode == 0


async def test_sigterm_turns_readiness_off_before_the_port_closes_and_the_parts_last(reserved_port: int) -> None:
    """So a load balancer looks elsewhere while requests are still served."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLEEPER, str(reserved_port), stdout=asyncio.subprocess.PIPE
    )
    url = f"http://127.0.0.1:{reserved_port}"
    async with httpx.AsyncClient(timeout=30) as http:
        await _until_answers(http, f"{url}/health/ready")
        process.send_signal(signal.SIGTERM)
        answers = set()
        async with asyncio.timeout(60):
            while True:
                try:
                    answers.add((await http.get(f"{url}/health/ready")).status_code)
                    assert (await http.get(f"{url}/hello")).text == "hello"
                except httpx.HTTPError:
                    break
                await asyncio.sleep(0.05)
    output, _ = await process.communicate()
    assert 503 in answers
    assert (process.returncode, output) == (0, b"closed\n")


async def _until_answers(http: httpx.AsyncClient, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await http.get(url)
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_the_garbage_collector_runs_again_once_a_process_has_loaded() -> None:
    """A service's process loads without it; left off, cycles would fill the memory."""
    script = (
        "import gc; gc.disable(); from imsg_web import service; service.tune_garbage_collector(); print(gc.isenabled())"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert out == b"True\n"
