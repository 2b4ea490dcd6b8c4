"""Reads runs, and pairs the series of two."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imsg_bench.result import Result, Series


@dataclass(frozen=True, slots=True)
class Change:
    """One series in two runs."""

    key: str
    before: Series
    after: Series


def changes(before: Sequence[Result], after: Sequence[Result]) -> list[Change]:
    """Pair the series and the costs that both runs have."""
    earlier = {(result.key, series.name): series for result in before for series in _series(result)}
    return [
        Change(result.key, earlier[result.key, series.name], series)
        for result in after
        for series in _series(result)
        if (result.key, series.name) in earlier
    ]


def _series(result: Result) -> Iterator[Series]:
    """Yield the series, then the processor costs, which depend least on other work on the machine."""
    yield from result.series
    for name, cost in result.costs.items():
        yield Series(f"processor, {name}", "µs", (cost,))


def read(path: Path) -> tuple[Mapping[str, Any], list[Result]]:
    """Read a run. Raises ValueError where the file holds none."""
    try:
        changes_ = json.loads(path.read_text())
        return changes_, [Result.from_json(result) for result in changes_["results"]]
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} holds no results of a run: {error!r}") from error
