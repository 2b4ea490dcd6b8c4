"""What was to be reached and what was: `python -m imsg_bench targets [RESULTS.json …]`, of the whole run where none is.

Every row with a target, of the runs that are given; of a measurement that several have, the last one's. Then which
measurements none of them has.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from imsg_bench.compare import read
from imsg_bench.figures import round_figure
from imsg_bench.report import MARKS
from imsg_bench.result import Result, Series


def table(results: Sequence[Result]) -> str:
    """Write every row that has a target."""
    rows = [(result.key, one) for result in results for one in result.series if one.goal]
    lines = ["| | measured | to reach | median | rounds | reached |", "|---|---|---|---:|---|---|"]
    for key, one in rows:
        unit = f" {one.unit}" if one.unit else ""
        cells = (key, one.name, one.goal, f"{round_figure(one.middle)}{unit}", _format_rounds(one), MARKS[one.is_met])
        lines.append(f"| {' | '.join(cells)} |")
    reached = sum(one.is_met is True for _, one in rows)
    return "\n".join([*lines, "", f"{reached} of {len(rows)} reached."])


def latest(runs: Sequence[Sequence[Result]]) -> list[Result]:
    """Put runs together: of a measurement that several have, the last one's."""
    return list({result.key: result for results in runs for result in results}.values())


def _format_rounds(one: Series) -> str:
    return "one" if len(one.values) == 1 else f"{round_figure(min(one.values))} to {round_figure(max(one.values))}"


def main(arguments: Sequence[str], known: Sequence[str]) -> int:
    """Write the table; exit code 2 where a file can't be read. `known` are the measurements there are."""
    try:
        results = latest([read(Path(path))[1] for path in arguments or ["bench/results/full.json"]])
    except ValueError as error:
        print(f"usage: python -m imsg_bench targets RESULTS.json … ({error})", file=sys.stderr)
        return 2
    print(table(results))
    if absent := [key for key in known if key not in {result.key for result in results}]:
        print(f"\nNot measured in these: {', '.join(absent)}.")
    return 0
