"""The tables of docs/scaling.md from a run's own figures, and the simulation held against what was measured.

`python -m imsg_bench sizing bench/results/full.json [--write]`.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from imsg_bench.compare import read
from imsg_bench.figures import round_figure
from imsg_bench.result import Result
from imsg_bench.scaling_page import write_tables
from imsg_bench.simulation import Station, capacity, cores, simulate, size

LOADS = (1, 100, 10_000, 1_000_000)
"""Messages a minute."""

MESSAGES = 20_000
"""Played through the simulation for each load."""

SINGLE_THREADED = ("gateway", "history", "sender-smtp", "Valkey")
"""One process of these uses one core at most; RabbitMQ and PostgreSQL use several."""


def read_message_costs(results: Sequence[Result]) -> Mapping[str, float]:
    """Return what a single mail costs each part, measured with everything running (J). Raises KeyError."""
    (measured,) = (result for result in results if result.key == "J")
    return {name: measured.costs[name] for name in (*SINGLE_THREADED, "RabbitMQ", "PostgreSQL")}


def table(costs: Mapping[str, float]) -> str:
    """Write how many of what each load wants."""
    lines = [f"| messages a minute | {' | '.join(costs)} | cores |", f"|---:|{'---:|' * (len(costs) + 1)}"]
    for load in LOADS:
        wanted = size(costs, load)
        cells = " | ".join(str(wanted[name]) for name in costs)
        lines.append(f"| {load:,} | {cells} | {cores(costs, load):.1f} |")
    return "\n".join(lines)


def waits(costs: Mapping[str, float]) -> str:
    """Play every load through as many workers as the table gives it; write how long a message takes."""
    lines = ["| messages a minute | through, 1/s | p50 ms | p99 ms |", "|---:|---:|---:|---:|"]
    for load in LOADS:
        wanted = size(costs, load)
        stations = [Station(name, cost, wanted[name]) for name, cost in costs.items()]
        simulated = simulate(stations, load / 60, MESSAGES, Random(load))  # noqa: S311  the same for everybody
        lines.append(f"| {load:,} | {simulated.rate:,.2f} | {simulated.p50_ms:.2f} | {simulated.p99_ms:.2f} |")
    return "\n".join(lines)


def storage(results: Sequence[Result]) -> str:
    """Write what each load keeps in the end: what a settled message leaves (O), times how many there are.

    Empty where O was not measured. The append-only file is counted at its size before a rewrite: twice what it holds.
    """
    measured = next((result for result in results if result.key == "O"), None)
    if measured is None:
        return ""
    held = measured.find("Redis, for each message/s of steady load").middle
    file = 2 * held * _share(measured, "append-only file, after a rewrite", "Redis, keys")
    row = measured.find("PostgreSQL").middle
    heads = ("Valkey, memory", "append-only file", "PostgreSQL, a day", f"PostgreSQL, {RETENTION_DAYS} days")
    lines = [f"| messages a minute | {' | '.join(heads)} |", f"|---:|{'---:|' * len(heads)}"]
    for load in LOADS:
        a_day = load * 60 * 24 * row / 1e6
        cells = [
            _format_size(megabytes)
            for megabytes in (VALKEY_MB + load / 60 * held, load / 60 * file, a_day, a_day * RETENTION_DAYS)
        ]
        lines.append(f"| {load:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


RETENTION_DAYS = 90
"""IMSG_RETENTION_DAYS, unless it is set."""

VALKEY_MB = 10.0
"""What it takes with nothing in it."""


def _share(measured: Result, name: str, of: str) -> float:
    whole = measured.find(of).middle
    return measured.find(name).middle / whole if whole else 0.0


def _format_size(megabytes: float) -> str:
    for unit, least in (("TB", 1e6), ("GB", 1e3)):
        if megabytes >= least:
            return f"{round_figure(megabytes / least)} {unit}"
    return f"{round_figure(megabytes)} MB"


def checks(results: Sequence[Result], processors: int) -> str:
    """Return a table of the arithmetic for A and C beside what was measured on the same cores."""
    by_key = {result.key: result for result in results}
    lines = ["| measured point | measured, 1/s | arithmetic, 1/s | bottleneck |", "|---|---:|---:|---|"]
    for name, key, series, prefix in POINTS:
        measured = by_key.get(key)
        if measured is None or not any(part.startswith(prefix) for part in measured.costs):
            continue
        stations = [
            Station(part.removeprefix(prefix), cost, processors if "RabbitMQ" in part else 1)
            for part, cost in measured.costs.items()
            if part.startswith(prefix) and cost  # what did nothing is never full
        ]
        rate, bottleneck = capacity(stations, processors)
        lines.append(f"| {name} | {measured.find(series).middle:,.0f} | {rate:,.0f} | {bottleneck} |")
    return "\n".join(lines)


POINTS = (
    ("A, the floor", "A", "floor, accepted", "floor: "),
    ("A, the gateway", "A", "iMSG, accepted", "iMSG: "),
    ("A, the peer", "A", "peer, accepted", "peer: "),
    ("C, the floor", "C", "floor", "floor: "),
    ("C, single mails", "C", "single mails", "singles: "),
    ("C, parts of 50", "C", "parts of 50", "bulk: "),
)
"""Name, measurement, series, and how its costs begin."""


def main(arguments: Sequence[str]) -> int:
    """Print the tables of a run, or write them into the page; exit code 2 where its file can't be read or lacks J."""
    try:
        path, *more = arguments
        document, results = read(Path(path))
        costs = read_message_costs(results)
        tables = {
            "sizing": table(costs),
            "storage": storage(results),
            "waits": waits(costs),
            "checks": checks(results, int(document["machine"]["cores"])),
        }
        if more == ["--write"]:
            write_tables({mark: lines for mark, lines in tables.items() if lines})
            return 0
    except (ValueError, KeyError) as error:
        print(f"usage: python -m imsg_bench sizing RESULTS.json [--write], of a whole run ({error})", file=sys.stderr)
        return 2
    print("\n\n".join(lines for lines in tables.values() if lines))
    return 0
