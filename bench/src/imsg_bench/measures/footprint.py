"""Memory and start: how much each service holds when idle, and how soon it is ready.

Memory: resident memory (VmRSS) of the process and what descends from it, three seconds after it was ready, nothing
asked of it; `imsg up` has its own Valkey in it. A page that both the watching parent and its child have counts twice
there; beside it stands the same with every page divided by the number of processes that have it (Pss).
Start: from the start of the process until its readiness answers 200, asked every 10 ms; broker, Redis and database
run already, and the tables stand: the second start counts.
Each runs in an environment that holds only what its package declares, compiled (`scripts/isolation`): as in its image.
A trial runs all of them in its own environment.
Every service is started once for each round; the median counts, and of the services the largest and the slowest.
"""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx

from imsg_bench.costs import proportional_mib, resident_mib
from imsg_bench.deployment import START_TIMEOUT_S, Deployment, is_ready
from imsg_bench.embedded import prepare_embedded
from imsg_bench.figures import median
from imsg_bench.measure import Run
from imsg_bench.result import Result, Series
from imsg_bench.scale import TRIAL
from imsg_testing.service import Service
from imsg_testing.waiting import wait

KEY = "I"
TITLE = "Memory and start"

IDLE_S = 3.0
POLL_S = 0.01
CONSOLE = "console"

ENVIRONMENTS = Path(__file__).parents[4] / ".uv" / "isolation"


def measure(run: Run) -> Result:
    """Measure I."""
    memory: dict[str, list[float]] = {}
    shares: dict[str, list[float]] = {}
    start: dict[str, list[float]] = {}
    with run.deployment() as deployment:
        deployment.auth()
        deployment.history()
        deployment.wait_started()
        is_trial = run.scale is TRIAL
        makers = _makers(run, deployment)
        rounds = max(1, run.scale.rounds - 2)
        for number in range(0 if is_trial else -1, rounds):  # the first start makes tables and is not counted
            figures = _all(run, makers)
            for name, (seconds, mib, share_mib) in figures.items():
                if number >= 0:
                    start.setdefault(name, []).append(seconds)
                    memory.setdefault(name, []).append(mib)
                    shares.setdefault(name, []).append(share_mib)
            slowest = max(seconds for seconds, _, _ in figures.values())
            run.progress.round(KEY, max(0, number), rounds, slowest_start_s=slowest)
        if not is_trial:
            _measure_embedded(run, deployment, with_console=False)  # makes its folder and tables, and is not counted
        for _ in range(rounds):
            for name, with_console in (("imsg up, no console", False), ("imsg up", True)):
                seconds, mib = _measure_embedded(run, deployment, with_console=with_console)
                start.setdefault(name, []).append(seconds)
                memory.setdefault(name, []).append(mib)
    return _result(memory, shares, start)


def _makers(run: Run, deployment: Deployment) -> Mapping[str, Callable[[], Service]]:
    names = ("wechat", "auth_again", "history_again", "callbacks", "catalog")
    databases = {name: deployment.share.database(name) for name in names}
    account = {"APPID": "wx0", "SECRET": "s", "TOKEN": "t", "TEMPLATE": "m", "ENDPOINT": "http://127.0.0.1:1"}
    provider = {
        "ENDPOINT": "http://127.0.0.1:1",
        "ACCESS_KEY_ID": "a",
        "ACCESS_KEY_SECRET": "s",
        "SIGN_NAME": "天存",
        "TEMPLATE": "SMS_1",
    }
    wechat = {f"IMSG_WECHAT__ACCOUNTS__MAIN__{name}": value for name, value in account.items()}
    stores = {name: {"IMSG_DATABASE_URL": url} for name, url in databases.items()}
    settings: Mapping[str, tuple[str, Mapping[str, str]]] = {
        "gateway": ("imsg_gateway", {}),
        "auth": ("imsg_auth", stores["auth_again"]),
        "history": ("imsg_history", stores["history_again"]),
        "callbacks": ("imsg_callbacks", {**stores["callbacks"], "IMSG_SECRET_KEY": "k" * 40}),
        "catalog": ("imsg_catalog", stores["catalog"]),
        "sender-smtp": ("imsg_smtp", {"IMSG_SMTP__HOST": "127.0.0.1", "IMSG_SMTP__SENDER": "imsg@example.com"}),
        "sender-sms": ("imsg_sms", {f"IMSG_SMS__ACCOUNTS__ALIYUN__{name}": value for name, value in provider.items()}),
        "sender-wechat": ("imsg_wechat", {**stores["wechat"], **wechat}),
        CONSOLE: ("imsg_console", {"IMSG_GATEWAY_URL": "http://127.0.0.1:1"}),
    }
    return {
        name: lambda package=package, settings_=settings_: deployment.service(  # type: ignore[misc]
            package, settings_, find_programs(run, package) / "python"
        )
        for name, (package, settings_) in settings.items()
    }


def find_programs(run: Run, package: str) -> Path:
    """Find the programs of the environment that has nothing but this package; in a trial those of this process.

    Raises FileNotFoundError.
    """
    if run.scale is TRIAL:
        return Path(sys.executable).parent
    programs = ENVIRONMENTS / package.replace("_", "-") / "bin"
    if not programs.exists():
        raise FileNotFoundError(f"{programs} is missing: `make isolation` makes it, and `make bench` does")
    return programs


def _all(run: Run, makers: Mapping[str, Callable[[], Service]]) -> dict[str, tuple[float, float, float]]:
    """Start one after the other, look at all of them when they have been idle; return (seconds, MiB, MiB of Pss)."""
    services, seconds = {}, {}
    for name, make in makers.items():
        service = services[name] = make()
        begun = time.monotonic()
        service.process.start()
        wait(
            lambda service=service: is_ready(service.url),  # type: ignore[misc]
            START_TIMEOUT_S,
            every_s=POLL_S,
            why=service.process.last_lines,
        )
        seconds[name] = time.monotonic() - begun
    run.pause(IDLE_S)
    figures = {
        name: (seconds[name], resident_mib(service.process.pid), proportional_mib(service.process.pid))
        for name, service in services.items()
    }
    for service in services.values():
        service.process.kill()
    return figures


def _measure_embedded(run: Run, deployment: Deployment, *, with_console: bool) -> tuple[float, float]:
    with ExitStack() as stack:
        service = stack.enter_context(
            prepare_embedded(
                deployment.folder / "up", {}, with_console=with_console, program=find_programs(run, "imsg") / "imsg"
            )
        )
        seconds = service.start()
        httpx.get(f"{service.url}/health/live", timeout=10)
        run.pause(IDLE_S)
        return seconds, resident_mib(service.process.pid)


def _result(
    memory: Mapping[str, list[float]], shares: Mapping[str, list[float]], start: Mapping[str, list[float]]
) -> Result:
    services = [name for name in memory if name != CONSOLE and not name.startswith("imsg up")]
    largest = max(services, key=lambda name: median(memory[name]))
    slowest = max([*services, CONSOLE], key=lambda name: median(start[name]))
    return Result(
        KEY,
        TITLE,
        (
            Series(f"largest service: {largest}", "MiB", tuple(memory[largest]), at_most=90),
            Series("console", "MiB", tuple(memory[CONSOLE]), at_most=130),
            Series("imsg up, no console", "MiB", tuple(memory["imsg up, no console"]), at_most=250),
            Series("imsg up", "MiB", tuple(memory["imsg up"]), at_most=320),
            Series(f"slowest start: {slowest}", "s", tuple(start[slowest]), at_most=2),
            Series("imsg up, no console, ready after", "s", tuple(start["imsg up, no console"]), at_most=3),
            Series("imsg up, ready after", "s", tuple(start["imsg up"]), at_most=3),
            *(Series(f"{name}, memory", "MiB", tuple(memory[name])) for name in services),
            *(Series(f"{name}, memory by its share", "MiB", tuple(shares[name])) for name in services),
            *(Series(f"{name}, ready after", "s", tuple(start[name])) for name in [*services, CONSOLE]),
        ),
    )
