"""Latency at half of A's rate, open loop: requests leave evenly by a schedule, whatever became of those before.

Timed: every request from the moment it was due, so that those which a stall kept waiting are charged too (no
coordinated omission); 64 connections, a turn a side and round, a warm-up before.
Rate: half of what the gateway accepted in A; where A was not measured in this run, a short turn of it comes first.
Floor: A's, at the same rate.
The figures are the ratios of the 50th and the 99th percentile, round by round.
"""

import json
import subprocess
import sys
from pathlib import Path

from imsg_bench import load
from imsg_bench.figures import percentile, ratios
from imsg_bench.load import CONNECTIONS, LoadError
from imsg_bench.measure import Run
from imsg_bench.measures.accept import QUEUES, REST_S, start_floor
from imsg_bench.result import Result, Series

KEY = "B"
TITLE = "Latency at half of A's rate"


def measure(run: Run) -> Result:
    """Measure B."""
    with run.deployment() as deployment:
        deployment.auth()
        gateway = deployment.gateway()
        floor_url, _ = start_floor(deployment)
        body = deployment.body()
        urls = {"floor": f"{floor_url}/api/send", "iMSG": f"{gateway.url}/api/send"}
        rate = _half_rate(run, urls["iMSG"], body)
        latencies: dict[str, list[list[float]]] = {name: [] for name in urls}
        for number in range(run.scale.rounds):
            for name, url in urls.items():
                deployment.share.purge(*QUEUES)
                time_load(url, body, rate, run.scale.warm_s)
                run.pause(REST_S)
                latencies[name].append(time_load(url, body, rate, run.scale.turn_s))
            figures = {
                f"{name} {share}": percentile(latencies[name][-1], at) for name in urls for share, at in SHARES.items()
            }
            run.progress.round(KEY, number, run.scale.rounds, **figures)
    return _result(latencies, rate)


SHARES = {"p50": 0.5, "p99": 0.99}
REACH = {"p50": 1.5, "p99": 2.0}


def _half_rate(run: Run, url: str, body: Path) -> float:
    if "A" in run.results:
        return run.results["A"].find("iMSG, accepted").middle / 2
    return load.run(url, body, run.scale.turn_s).rate / 2


def time_load(url: str, body: Path, rate: float, seconds: float, connections: int = CONNECTIONS) -> list[float]:
    """Load a URL for so long from a process of its own; return latencies in ms. Raises LoadError for a refusal."""
    words = (url, str(body), str(rate), str(seconds), str(connections))
    command = [sys.executable, "-m", "imsg_bench.openloop", *words]
    completed = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if completed.returncode != 0:
        raise LoadError(f"{url}: {completed.stderr[-500:]}")
    read = json.loads(completed.stdout)
    if read["refused"]:
        raise LoadError(f"{url}: {read['refused']} refused")
    return [float(latency) for latency in read["latencies_ms"]]


def _result(latencies: dict[str, list[list[float]]], rate: float) -> Result:
    series = []
    for share, at in SHARES.items():
        by_name = {name: tuple(percentile(measured, at) for measured in rounds) for name, rounds in latencies.items()}
        series.append(
            Series(f"{share}, iMSG ÷ floor", "", ratios(by_name["iMSG"], by_name["floor"]), at_most=REACH[share])
        )
        series += [Series(f"{share}, {name}", "ms", values) for name, values in by_name.items()]
    return Result(KEY, TITLE, tuple(series), notes=(f"At {rate:.0f} requests a second.",))
