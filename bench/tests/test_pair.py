"""Two trees in turn: the first one changes, and a figure is compared with that of the same round."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from imsg_bench.pair import Pair, measure_rounds, open_tree, write_table
from imsg_bench.result import Result, Series

OLD, NEW = Path("old"), Path("new")


def test_trees_are_measured_in_turn_and_compared_round_by_round() -> None:
    """A machine that gets slower with each run favours neither."""
    order: list[Path] = []

    def measure(tree: Path, rows: Sequence[str], folder: Path) -> Sequence[Result]:
        assert folder.is_dir()
        order.append(tree)
        speed = {OLD: 100.0, NEW: 120.0}[tree] / len(order)
        return [Result(row, "Accepted", (Series("accepted", "1/s", (speed,)),)) for row in rows]

    (pair,) = measure_rounds((OLD, NEW), ["A"], 2, measure)
    assert order == [OLD, NEW, NEW, OLD]
    assert pair == Pair("A", "accepted", "1/s", (100.0, 25.0), (60.0, 40.0))
    assert pair.ratios == pytest.approx((0.6, 1.6))


def test_the_table_shows_medians_and_how_far_the_rounds_lie_apart() -> None:
    pair = Pair("A", "accepted", "1/s", (100, 100, 100), (90, 110, 130))
    last = write_table(("main", "branch"), [pair]).splitlines()[-1]
    assert last == "| A | accepted | 100 1/s | 110 1/s | × 1.10 | 0.90 to 1.30 |"


def test_what_is_neither_a_tree_nor_a_revision_is_refused() -> None:
    with pytest.raises(Exception, match="no-such-revision"), open_tree("no-such-revision"):
        pass
