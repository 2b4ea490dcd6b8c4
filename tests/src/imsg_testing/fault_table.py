"""The table of reliability: each torment that was lived through writes its row; the run writes the page of them."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

from imsg_testing.fault_books import Balance

PAGE = Path("docs/reliability.md")

ROWS_VARIABLE = "FAULT_ROWS"
"""Names the folder in which rows are gathered; without it a run keeps none."""


@dataclass(frozen=True, slots=True)
class Row:
    """One torment: what was done, and how it ended."""

    place: int
    """Where it stands in the table."""
    title: str
    done: str
    """A sentence of what was done."""
    explained: str
    """Why duplicates may be, and how many at most."""
    figures: tuple[str, ...]
    """Accepted, settled, lost, duplicates, refused, seconds until whole again; or what else was measured."""


def write(row: Row) -> None:
    """Keep a row where the run gathers them."""
    folder = os.environ.get(ROWS_VARIABLE)
    if folder:
        path = Path(folder) / f"{row.place:03}-{crc32(row.title.encode()):08x}.json"
        path.write_text(json.dumps(asdict(row), ensure_ascii=False))


def of_balance(place: int, title: str, done: str, explained: str, balance: Balance) -> Row:
    """Make the row of a torment whose books balance."""
    counts = (balance.accepted, balance.settled, balance.lost, balance.duplicates)
    refused = {**balance.refused, **({"no answer": balance.broken} if balance.broken else {})}
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(refused.items()))
    return Row(
        place, title, done, explained, (*(f"{one:,}" for one in counts), reasons or "0", f"{balance.whole_s:.0f}")
    )


def page(rows: Sequence[Row], now: datetime) -> str:
    """Write the page."""
    books = [row for row in rows if len(row.figures) == len(BOOKS)]
    measured = [row for row in rows if len(row.figures) != len(BOOKS)]
    lines = [
        "# What happens when a plug is pulled",
        "",
        "`make test-fault` writes this page, and only rows of what has just passed.",
        "Everything in it is real: RabbitMQ, Valkey, PostgreSQL and each service of iMSG as a process of its own,",
        "clients that send with an Idempotency-Key and repeat what they are asked to repeat, a provider that counts.",
        "",
        f"Run on {now:%Y-%m-%d}, {machine()}.",
        f"{', '.join(versions())}.",
        "",
        "- *accepted*: recipients of requests that were answered errorCode 0.",
        "- *settled*: of these, how many have a status in `/api/query` that is an end.",
        "- *lost*: accepted, and without an end, or called sent and not with the provider.",
        "- *twice*: messages the provider got beyond the first for one recipient; beneath, why that may be.",
        "- *refused*: answers 10012 (or none, where the gateway was killed) which the client repeated until accepted.",
        "- *whole*: seconds from the plug's return until the last recipient was settled, what was sent meanwhile",
        "  included; nobody lends a hand.",
        "",
        _line(("What was done", *BOOKS)),
        _line(("---", *("---:",) * len(BOOKS))),
        *(_line((_what(row), *row.figures)) for row in books),
    ]
    if measured:
        lines += ["", "## Measured beside", "", _line(("What was done", "Figures")), _line(("---", "---"))]
        lines += [_line((_what(row), "<br>".join(row.figures))) for row in measured]
    return "\n".join([*lines, ""])


BOOKS = ("accepted", "settled", "lost", "twice", "refused", "whole")


def _what(row: Row) -> str:
    return f"**{row.title}.** {row.done}" + (f" *{row.explained}*" if row.explained else "")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """Describe the machine in a few words."""
    processor = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", _text("/proc/meminfo"), re.MULTILINE)
    name = processor.group(1) if processor else platform.machine()
    size = f", {int(memory.group(1)) / 1024**2:.0f} GiB" if memory else ""
    return f"{os.cpu_count()} × {name}{size}, {platform.system()} {platform.release()}"


def versions() -> list[str]:
    """Name what took part, with its version."""
    from imsg_testing.servers.postgres import _postgres_binaries  # noqa: PLC0415  only the page asks
    from imsg_testing.servers.valkey import _valkey_binary  # noqa: PLC0415

    rabbit = next(iter(sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))), None)
    said = {
        "Python": platform.python_version(),
        "RabbitMQ": rabbit.name.rpartition("-")[2] if rabbit else _asked("rabbitmqctl", "version"),
        "Valkey": _asked(_valkey_binary(), "--version"),
        "PostgreSQL": _asked(str(_postgres_binaries() / "postgres"), "--version"),
    }
    return [f"{name} {_number(text)}" for name, text in said.items()]


def _asked(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


def _number(text: str) -> str:
    found = re.search(r"\d+(?:\.\d+)+", text)
    return found.group(0) if found else "?"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def main(folder: str) -> None:
    """Write the page of the rows in a folder."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(Path(folder).glob("*.json"))]
    read = [Row(**{**row, "figures": tuple(row["figures"])}) for row in rows]
    PAGE.write_text(page(read, datetime.now(UTC)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
