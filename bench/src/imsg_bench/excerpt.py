"""The few lines of a run in docs/scaling.md: `python -m imsg_bench excerpt bench/results/full.json` writes them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imsg_bench.compare import read
from imsg_bench.figures import round_figure
from imsg_bench.result import Result, Series
from imsg_bench.scaling_page import write_tables

MARK = "make bench"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a figure, and its ratio to the floor, the peer or the limit."""

    key: str
    figure: str
    unit: str
    words: str = ""
    beside: str = ""
    """The series of the ratio; empty where there is none. A name may go on after what is given of it."""
    against: str = ""


ROWS = (
    Row("A", "iMSG, accepted", "/s", "requests accepted", "iMSG ÷ floor", "a bare ASGI app on the same servers"),
    Row("A", "iMSG, accepted", "/s", "", "iMSG ÷ peer", "FastAPI and Celery on the same servers"),
    Row("C", "single mails", "/s", "single mails delivered", "single mails ÷ floor", "a bare consumer"),
    Row("C", "parts of 50", "/s", "mails of a list delivered", "parts of 50 ÷ floor", "a bare consumer"),
    Row(
        "E",
        "singles",
        "/s",
        "single SMS, the provider answering in 50 ms",
        "singles ÷ limit",
        "what 64 calls at once can reach",
    ),
    Row("E", "lists", "/s", "recipients of SMS lists"),
    Row("F", "query p95, slowest", " ms", "p95 of the slowest query, 1,000,000 messages"),
    Row("G", "accepted", "/s", "requests accepted by `make run`", "accepted ÷ A's floor", "the same bare app"),
    Row(
        "L",
        "p50, iMSG",
        " ms",
        "one mail on an idle system, from its POST to the mail server",
        "p50, iMSG ÷ floor",
        "publish, consume and SMTP alone",
    ),
    Row(
        "K",
        "1 KB, iMSG",
        "/s",
        "mails to a server 30 ms away, 16 connections",
        "1 KB, iMSG ÷ floor",
        "plain aiosmtplib on as many",
    ),
    Row("O", "Redis, for each message/s of steady load", " MB", "what Redis holds for each message a second"),
    Row("I", "imsg up", " MiB", "memory of `make run`, all of it"),
)


def table(results: Sequence[Result]) -> str:
    """Write the lines. Raises KeyError where the run lacks a measurement."""
    by_key = {result.key: result for result in results}
    lines = ["| | median | beside it, in the same run |", "|---|---:|---|"]
    for row in ROWS:
        shown = f"{round_figure(_find(by_key[row.key], row.figure).middle)}{row.unit}" if row.words else ""
        ratio = ""
        if row.beside:
            ratio = f"{round_figure(_find(by_key[row.key], row.beside).middle)} × {row.against}"
        lines.append(f"| {row.words} | {shown} | {ratio} |")
    return "\n".join(lines)


def _find(result: Result, name: str) -> Series:
    return next(
        (series for series in result.series if series.name == name or series.name.startswith(f"{name}:")), None
    ) or (result.find(name))


def main(arguments: Sequence[str]) -> int:
    """Write the excerpt; exit code 2 where the run's file can't be read or is not whole."""
    try:
        (path,) = arguments
        _, results = read(Path(path))
        write_tables({MARK: table(results)})
    except (ValueError, KeyError) as error:
        print(f"usage: python -m imsg_bench excerpt RESULTS.json, of a whole run ({error})", file=sys.stderr)
        return 2
    return 0
