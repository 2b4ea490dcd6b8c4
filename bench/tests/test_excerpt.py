"""The lines of docs/scaling.md are a run's own figures."""

import pytest

from imsg_bench.excerpt import ROWS, table
from imsg_bench.result import Result, Series


def run() -> list[Result]:
    """Make a run that has every figure the lines want, each 2."""
    names: dict[str, list[str]] = {}
    for row in ROWS:
        names.setdefault(row.key, []).extend(name for name in (row.figure, row.beside) if name)
    return [
        Result(key, key, tuple(Series(name, "", (2.0,)) for name in dict.fromkeys(found)))
        for key, found in names.items()
    ]


def test_every_row_has_its_figure() -> None:
    """One line a row, with its ratio where it has one."""
    lines = table(run()).splitlines()
    assert len(lines) == len(ROWS) + 2
    assert lines[2].startswith("| requests accepted | 2.00/")
    assert "2.00" in lines[3]


def test_a_run_without_a_measurement_is_refused() -> None:
    """Half an excerpt would be read as a whole one."""
    with pytest.raises(KeyError):
        table(run()[1:])
