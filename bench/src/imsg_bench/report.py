"""Results written for people and for programs: Markdown and JSON."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imsg_bench.figures import round_figure
from imsg_bench.result import Result, Series, list_missed

MARKS = {True: "yes", False: "**no**", None: ""}


def document(scale: str, machine: Mapping[str, str], results: Sequence[Result]) -> dict[str, Any]:
    """Make what the JSON file holds."""
    return {
        "format": 1,
        "scale": scale,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(machine),
        "results": [result.to_json() for result in results],
    }


def table(results: Sequence[Result]) -> str:
    """Write every figure in one table."""
    lines = ["| | measured | median | rounds | to reach | reached |", "|---|---|---:|---|---|---|"]
    for result in results:
        for series in result.series:
            unit = f" {series.unit}" if series.unit else ""
            cells = (
                result.key,
                series.name,
                f"{round_figure(series.middle)}{unit}",
                _rounds(series),
                series.goal,
                MARKS[series.is_met],
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _rounds(series: Series) -> str:
    if len(series.values) == 1:
        return "one"
    return f"{round_figure(min(series.values))} to {round_figure(max(series.values))} ({series.spread:.0%})"


WHY = Path(__file__).parents[2] / "why.md"
"""Why a figure misses its target: a section for each measurement, written by hand."""


def reasons(text: str) -> Mapping[str, str]:
    """Read the page's sections, by measurement: `## G. …` and what follows."""
    sections = (section.partition("\n") for section in text.split("\n## ")[1:])
    return {head.partition(".")[0]: body.strip() for head, _, body in sections}


def _not_reached(results: Sequence[Result]) -> list[str]:
    """Write what was not reached, and why as far as that is known."""
    missed: dict[str, list[str]] = {}
    for result, series in list_missed(results):
        unit = f" {series.unit}" if series.unit else ""
        missed.setdefault(result.key, []).append(
            f"- {series.name}: {round_figure(series.middle)}{unit}, to be {series.goal}"
        )
    if not missed:
        return []
    known = reasons(WHY.read_text())
    lines = ["## What was not reached, and why", ""]
    for key, figures in missed.items():
        lines += [f"**{key}**", "", *figures, "", known.get(key, "Not looked into yet."), ""]
    return lines


def markdown(missed: Mapping[str, Any], results: Sequence[Result], methods: Mapping[str, str]) -> str:
    """Write the page of a run: the table, then each measurement with its method, its costs and its notes."""
    lines = ["# What was measured", "", f"Scale {missed['scale']}, {missed['at']}, on:", ""]
    lines += [f"- {name}: {value}" for name, value in missed["machine"].items()]
    lines += ["", "The median of the rounds counts; beside it the lowest and highest, and how far they lie apart.", ""]
    lines += [table(results), "", *_not_reached(results)]
    for result in results:
        lines += [f"## {result.key}. {result.title}", "", methods[result.key], ""]
        if result.costs:
            lines += ["| who | processor µs each |", "|---|---:|"]
            lines += [f"| {name} | {round_figure(cost)} |" for name, cost in result.costs.items()]
            lines += [""]
        for note in result.notes:
            lines += [note, ""]
    return "\n".join(lines).rstrip() + "\n"


def write(folder: Path, missed: Mapping[str, Any], results: Sequence[Result], methods: Mapping[str, str]) -> list[Path]:
    """Write the files of a run; return where they are. `methods` are the pages of method, by key."""
    folder.mkdir(parents=True, exist_ok=True)
    scale = missed["scale"]
    written = {
        folder / f"{scale}.json": json.dumps(missed, ensure_ascii=False, indent=1) + "\n",
        folder / f"{scale}.md": markdown(missed, results, methods),
    }
    for path, text in written.items():
        path.write_text(text)
    return list(written)
