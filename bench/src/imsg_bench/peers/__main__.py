"""The command: `python -m imsg_bench.peers [--quick] [NAME …]`; what is measured replaces what the file has of it."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from inspect import getdoc
from pathlib import Path
from typing import Any

from imsg_bench import machine, report
from imsg_bench.figures import round_figure
from imsg_bench.peers import contest
from imsg_bench.peers.celery_stack import AppriseServer, CeleryStack
from imsg_bench.peers.contest import Outcome
from imsg_bench.peers.jasmin import Jasmin
from imsg_bench.peers.kannel import Kannel
from imsg_bench.peers.ntfy import Ntfy
from imsg_bench.peers.ours import Distributed, Embedded
from imsg_bench.peers.peer import Peer
from imsg_bench.peers.postfix import Postfix
from imsg_bench.progress import Progress
from imsg_bench.result import Result, Series
from imsg_testing.servers.server import MissingServerError

KEY = "M"
TITLE = "Beside what else delivers messages"
PEERS: Sequence[type[Peer]] = (Distributed, Embedded, CeleryStack, Postfix, AppriseServer, Kannel, Jasmin, Ntfy)
OURS = (Distributed.NAME, Embedded.NAME)
QUICK_S, FULL_S = 4.0, 10.0
FOLDER = Path(__file__).parents[4] / "bench" / "results" / "peers"

NOT_HERE = {
    "Apprise-API": "it is in neither PyPI nor Debian (its images and sources are elsewhere); the library Apprise is, "
    "and stands above behind an HTTP API of ours, built the same way"
}
"""What could not be installed, and what was tried."""


def result(outcomes: Sequence[Outcome]) -> Result:
    """Make the figures of all contenders; ours is held against the best of those that lose nothing."""
    ours = next((outcome for outcome in outcomes if outcome.name == OURS[0]), None)
    safe = [
        outcome for outcome in outcomes if outcome.name not in OURS and outcome.gone == 0 and outcome.crash_accepted
    ]
    series: list[Series] = []
    if ours is not None:
        series.append(Series("iMSG, gone after kill -9", "", (float(ours.gone),), at_most=0))
        if safe:
            for name in ("accepted", "delivered"):
                best = max(safe, key=lambda outcome: float(getattr(outcome, name)))
                share = getattr(ours, name) / getattr(best, name)
                title = f"{name}, iMSG ÷ best that loses nothing: {best.name}"
                series.append(Series(title, "", (share,), at_least=1))
    for outcome in outcomes:
        series += [
            Series(f"{outcome.name}, accepted", "1/s", (outcome.accepted,)),
            Series(f"{outcome.name}, delivered", "1/s", (outcome.delivered,)),
            Series(f"{outcome.name}, gone after kill -9", "", (float(outcome.gone),)),
        ]
    costs = {outcome.name: outcome.cost_us for outcome in outcomes}
    return Result(KEY, TITLE, tuple(series), costs)


def page(document: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """Write the page."""
    lines = [f"# {KEY}. {TITLE}", "", f"Scale {document['scale']}, {document['at']}, on:", ""]
    lines += [f"- {name}: {value}" for name, value in document["machine"].items()]
    lines += [
        "",
        "| | accepted, 1/s | delivered, 1/s | kill -9: accepted | gone | twice | back after | syncs a message |",
    ]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---:|"]
    for outcome in sorted(outcomes, key=lambda outcome: (outcome.gone > 0, -outcome.delivered)):
        crash = f"{outcome.crash_accepted:,} | {outcome.gone:,} | {outcome.twice:,} | {outcome.recovered_s:.0f} s"
        lines.append(
            f"| {outcome.name} | {round_figure(outcome.accepted)} | {round_figure(outcome.delivered)}"
            f" | {crash} | {outcome.syncs:.2f} |"
        )
    lines += [
        "",
        "Those that lose nothing come first; what is not synced to the disk would be lost by a power cut.",
        "",
        "## Method",
        "",
        getdoc(contest) or "",
        "",
    ]
    lines += ["## Contenders", "", "| | version | what it is here | settings | processor µs a message |"]
    lines += ["|---|---|---|---|---:|"]
    for outcome in outcomes:
        cells = (outcome.name, outcome.version, outcome.what, outcome.settings, round_figure(outcome.cost_us))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Not measured", "", *(f"- {name}: {why}." for name, why in NOT_HERE.items())]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Measure; exit code 2 where something is not installed."""
    names = [kind.NAME for kind in PEERS]
    parser = argparse.ArgumentParser(prog="python -m imsg_bench.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(names)}; all where none is named")
    parser.add_argument("--quick", action="store_true", help="a short turn")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write to")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in names]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")
    progress = Progress()
    kept = _read(options.out / "full.json")
    missing = []
    for kind in PEERS:
        if options.names and kind.NAME not in options.names:
            continue
        try:
            kept[kind.NAME] = contest.contest(kind, QUICK_S if options.quick else FULL_S, progress)
        except MissingServerError as error:
            missing.append(str(error))
            progress.show(f"M  {kind.NAME}: {error}")
            continue
        _write(options.out, "quick" if options.quick else "full", [kept[name] for name in names if name in kept])
    if missing:
        print("not measured: " + "; ".join(missing), file=sys.stderr)
        return 2
    return 0


def _read(path: Path) -> dict[str, Outcome]:
    if not path.exists():
        return {}
    field_names = {field.name for field in fields(Outcome)}
    kept = json.loads(path.read_text())["contenders"]
    return {
        contender["name"]: Outcome(**contender) for contender in kept if contender.keys() == field_names
    }  # else it was asked other questions


def _write(folder: Path, scale: str, outcomes: Sequence[Outcome]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = report.document(scale, machine.describe(), [result(outcomes)])
    document["at"] = datetime.now(UTC).isoformat(timespec="seconds")
    document["contenders"] = [outcome.to_json() for outcome in outcomes]
    (folder / "full.json").write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    (folder / "full.md").write_text(page(document, outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
