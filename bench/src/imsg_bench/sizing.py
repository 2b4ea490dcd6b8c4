"""The tables of docs/scaling.md from a run's own figures: how many processes a load needs, and what it keeps.

`python -m imsg_bench sizing bench/results/full.json [--write]`.
"""

import sys
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

from imsg_bench.compare import read
from imsg_bench.figures import round_figure
from imsg_bench.result import Result
from imsg_bench.scaling_page import write_tables

LOADS = (1, 100, 10_000, 1_000_000)
"""Messages a minute."""

SAFE = 0.6
"""How full a station may be on average: beyond it queues grow fast, and nothing is left for a burst or a lost node."""

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


def size(costs_us: Mapping[str, float], a_minute: float, safe: float = SAFE) -> dict[str, int]:
    """Return how many workers of each kind a load of so many messages a minute wants."""
    rate = a_minute / 60
    return {name: max(1, ceil(rate * cost / 1e6 / safe)) for name, cost in costs_us.items()}


def cores(costs_us: Mapping[str, float], a_minute: float, safe: float = SAFE) -> float:
    """Return how many cores a load wants in all."""
    return a_minute / 60 * sum(costs_us.values()) / 1e6 / safe


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


def main(arguments: Sequence[str]) -> int:
    """Print the tables of a run, or write them into the page; exit code 2 where its file can't be read or lacks J."""
    try:
        path, *more = arguments
        _, results = read(Path(path))
        tables = {"sizing": table(read_message_costs(results)), "storage": storage(results)}
        if more == ["--write"]:
            write_tables({mark: lines for mark, lines in tables.items() if lines})
            return 0
    except (ValueError, KeyError) as error:
        print(f"usage: python -m imsg_bench sizing RESULTS.json [--write], of a whole run ({error})", file=sys.stderr)
        return 2
    print("\n\n".join(lines for lines in tables.values() if lines))
    return 0
