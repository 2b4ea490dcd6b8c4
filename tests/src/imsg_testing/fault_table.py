"""The table of fault tolerance: each fault test writes its row, and the run writes the page."""

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

from imsg_testing.fault_table_zh import translate
from imsg_testing.reconciliation import Reconciliation

PAGE, PAGE_ZH = Path("docs/fault-tolerance.md"), Path("docs/fault-tolerance.zh.md")

ROWS_VARIABLE = "FAULT_ROWS"
"""Names the folder in which rows are gathered; without it a run keeps none."""


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: what was done, and how it ended."""

    place: int
    """Its position on the page; the tens are its section."""
    title: str
    done: str
    """A sentence of what was done."""
    explained: str = ""
    """Why duplicates may be, and how many at most."""
    reconciliation: Reconciliation | None = None
    measured: Sequence[str] = ()
    """What was measured where nothing was reconciled."""


SECTIONS = {
    0: "Everything, one fault after the other",
    1: "A process of iMSG dies",
    2: "RabbitMQ",
    3: "Redis and PostgreSQL",
    4: "Providers, a poison message, clocks",
    5: "A process is asked to end (SIGTERM)",
    6: "A cluster of three RabbitMQ nodes",
    7: "A large backlog",
    8: "Memory with a large backlog",
    9: "All of it in one process (`imsg up`)",
    10: "Callbacks",
}
"""The page's sections in their order, by the tens of a row's place."""

METHOD = """\
# Fault tolerance

**{faults} faults injected, {accepted:,} recipients accepted, {lost:,} lost, {twice:,} messages sent twice,
each explained in its row; no manual repair.**

`make test-fault` writes this page from what it has just measured, once every test has passed.
What is promised, and what keeps it, is in [promises.md](promises.md); what to do when something is red, in
[operations.md](operations.md).

Run on {day}, {machine}.
{versions}.

## Method

- Everything is real: RabbitMQ, Valkey (in Redis' place), PostgreSQL, and each service of iMSG as a process of its own:
  one gateway, auth, history and two mail senders unless a row says otherwise.
- Clients send single mails continuously, in most tests beside a list of hundreds.
  Each request has an Idempotency-Key and is repeated, as the interface asks, until it is answered errorCode 0.
- A fault is injected meanwhile, and removed.
  What was killed is started again, as Docker or Kubernetes does it. Nothing else is done by hand.
- Then three records are reconciled: what the clients were answered, what `/api/query` says, and what a counting
  provider received.
  The run fails for one recipient that is lost or has no final status, one that received what was never accepted, one
  repeat more than is explained, or one mail repeated under another Message-ID.
- Where clients are told by calls, a receiver counts these too: one event that never comes, or one id under which two
  come, fails the run.

What the columns say:

- *accepted*: recipients of requests that were answered errorCode 0.
- *settled*: how many of them have a final status in `/api/query`; in brackets, those with another one than sent.
- *lost*: accepted and without a final status, or sent by our account and not received by the provider.
- *twice*: messages that the provider got beyond the first for one recipient; in italics, what may explain how many.
- *refused*: answers 10012 by their reason, or none where the gateway was dead; repeated until accepted.
- *recovered*: from the end of the fault until the last recipient was settled, those sent meanwhile included.

Most of *recovered* is waiting by design.
What a dead sender had in flight stays claimed for 30 s, is looked at every 10 s, and is retried after the first delay.
After three failures in a row a mail server is left alone: its messages wait where they are, one tries every 5 s, and
once it gets through all go. What had failed before that waits its step, of 10 s, 1 min or 5 min.
An SMS provider is left alone for 30 s after five failures in a row; of what it may have it is asked after 30 s, 2 min
and 10 min, before anything is sent again.
Several tests share the machine, so that nothing here measures speed."""

COLUMNS = ("what was done", "accepted", "settled", "lost", "twice", "refused", "recovered")


def write(row: Row) -> None:
    """Store a row in the folder where the run collects them."""
    folder = os.environ.get(ROWS_VARIABLE)
    if folder:
        path = Path(folder) / f"{row.place:03}-{crc32(row.title.encode()):08x}.json"
        path.write_text(json.dumps(asdict(row), ensure_ascii=False))


def read(folder: Path) -> list[Row]:
    """Read the rows that a run gathered, in the page's order."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return [
        Row(**{**row, "reconciliation": row["reconciliation"] and Reconciliation(**row["reconciliation"])})
        for row in rows
    ]


def page(rows: Sequence[Row], now: datetime) -> str:
    """Write the page."""
    kept = [row.reconciliation for row in rows if row.reconciliation is not None]
    lines = METHOD.format(
        faults=len(kept),
        accepted=sum(outcome.accepted for outcome in kept),
        lost=sum(outcome.lost for outcome in kept),
        twice=sum(outcome.duplicates for outcome in kept),
        day=f"{now:%Y-%m-%d}",
        machine=machine(),
        versions=", ".join(versions()),
    ).splitlines()
    for tens, heading in SECTIONS.items():
        of_it = [row for row in rows if row.place // 10 == tens]
        if of_it:
            lines += ["", f"## {heading}", "", *_table(of_it)]
    return "\n".join([*lines, ""])


def _table(rows: Sequence[Row]) -> list[str]:
    if any(row.reconciliation is None for row in rows):
        return [
            "| what was done | measured |",
            "|---|---|",
            *(f"| {_what(row)} | {'<br>'.join(row.measured)} |" for row in rows),
        ]
    return [
        f"| {' | '.join(COLUMNS)} |",
        f"|---|{'---:|' * (len(COLUMNS) - 1)}",
        *(
            f"| {_what(row)} | {' | '.join(_figures(row.reconciliation))} |"
            for row in rows
            if row.reconciliation is not None
        ),
    ]


def _what(row: Row) -> str:
    return f"**{row.title}.** {row.done}" + (f" *{row.explained}*" if row.explained else "")


def _figures(reconciliation: Reconciliation) -> Sequence[str]:
    refused = {**reconciliation.refused, **({"no answer": reconciliation.broken} if reconciliation.broken else {})}
    reasons = "<br>".join(f"{count:,} {reason}" for reason, count in sorted(refused.items()))
    settled = f"{reconciliation.settled:,}" + (f" ({reconciliation.failed:,})" if reconciliation.failed else "")
    return (
        f"{reconciliation.accepted:,}",
        settled,
        f"{reconciliation.lost:,}",
        f"{reconciliation.duplicates:,}",
        reasons or "0",
        f"{reconciliation.recovered_s:,.0f} s",
    )


def machine() -> str:
    """Describe the machine in a few words."""
    processor = re.search(r"^model name\s*:\s*(.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", _text("/proc/meminfo"), re.MULTILINE)
    name = processor.group(1) if processor else platform.machine()
    size = f", {int(memory.group(1)) / 1024**2:.0f} GiB" if memory else ""
    return f"{os.cpu_count()} × {name}{size}, {platform.system()} {platform.release()}"


def versions() -> list[str]:
    """Return the programs that took part, with their versions."""
    from imsg_testing.servers.postgres import _postgres_binaries  # noqa: PLC0415  only the page asks
    from imsg_testing.servers.valkey import valkey_binary  # noqa: PLC0415

    rabbit = next(iter(sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))), None)
    said = {
        "Python": platform.python_version(),
        "RabbitMQ": rabbit.name.rpartition("-")[2] if rabbit else _run("rabbitmqctl", "version"),
        "Valkey": _run(valkey_binary(), "--version"),
        "PostgreSQL": _run(str(_postgres_binaries() / "postgres"), "--version"),
    }
    return [f"{name} {_number(text)}" for name, text in said.items()]


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout


def _number(text: str) -> str:
    match = re.search(r"\d+(?:\.\d+)+", text)
    return match.group(0) if match else "?"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def main(folder: str) -> None:
    """Write the page of the rows in a folder, in both languages."""
    written = page(read(Path(folder)), datetime.now(UTC))
    PAGE.write_text(written, encoding="utf-8")
    PAGE_ZH.write_text(translate(written), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
