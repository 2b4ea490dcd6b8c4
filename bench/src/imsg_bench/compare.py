"""Two runs beside each other: `python -m imsg_bench compare A.json B.json`."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imsg_bench.figures import round_figure
from imsg_bench.result import Result, Series


@dataclass(frozen=True, slots=True)
class Change:
    """One series in two runs."""

    key: str
    before: Series
    after: Series

    @property
    def factor(self) -> float:
        """The later median over the earlier one."""
        return self.after.middle / self.before.middle if self.before.middle else float("inf")

    @property
    def is_beyond_noise(self) -> bool:
        """Whether the rounds of one lie wholly above those of the other."""
        return min(self.after.values) > max(self.before.values) or max(self.after.values) < min(self.before.values)


def changes(before: Sequence[Result], after: Sequence[Result]) -> list[Change]:
    """Pair the series and the costs that both runs have."""
    earlier = {(result.key, one.name): one for result in before for one in _series(result)}
    return [
        Change(result.key, earlier[result.key, one.name], one)
        for result in after
        for one in _series(result)
        if (result.key, one.name) in earlier
    ]


def _series(result: Result) -> Iterator[Series]:
    """Yield the series, then the processor costs, which depend least on other work on the machine."""
    yield from result.series
    for name, cost in result.costs.items():
        yield Series(f"processor, {name}", "µs", (cost,))


def table(changes_: Sequence[Change]) -> str:
    """Write them as Markdown."""
    lines = ["| | measured | before | after | change | beyond the rounds' spread |", "|---|---|---:|---:|---:|---|"]
    for one in changes_:
        unit = f" {one.after.unit}" if one.after.unit else ""
        cells = (
            one.key,
            one.after.name,
            f"{round_figure(one.before.middle)}{unit}",
            f"{round_figure(one.after.middle)}{unit}",
            f"× {one.factor:.2f}",
            _tell_noise(one),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _tell_noise(one: Change) -> str:
    if len(one.before.values) == len(one.after.values) == 1:
        return "one each"
    return "yes" if one.is_beyond_noise else "no"


def read(path: Path) -> tuple[Mapping[str, Any], list[Result]]:
    """Read a run. Raises ValueError where the file holds none."""
    try:
        changes_ = json.loads(path.read_text())
        return changes_, [Result.from_json(one) for one in changes_["results"]]
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} holds no results of a run: {error!r}") from error


def main(arguments: Sequence[str]) -> int:
    """Compare two files; exit code 2 where they can't be read."""
    try:
        first, second = map(Path, arguments)
        before, after = read(first), read(second)
    except ValueError as error:
        print(f"usage: python -m imsg_bench compare A.json B.json ({error})", file=sys.stderr)
        return 2
    if before[0]["machine"].get("processor") != after[0]["machine"].get("processor"):
        print("These were measured on different machines: only ratios compare.\n")
    print(table(changes(before[1], after[1])))
    return 0
