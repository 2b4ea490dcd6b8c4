"""Two runs beside each other, through the files they are kept in."""

import json
from pathlib import Path

import pytest

from imsg_bench import compare, report
from imsg_bench.result import Result, Series, list_missed


def result(*values: float, key: str = "A") -> Result:
    """Make a result of one series."""
    return Result(
        key, "Accepted", (Series("iMSG, accepted", "1/s", values, at_least=100),), {"iMSG": 210.0}, ("Note.",)
    )


def test_a_result_comes_back_from_its_file_as_it_was() -> None:
    found = result(120, 130, 125)
    assert Result.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_file_that_is_no_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match=r"a\.json holds no results"):
        compare.read(tmp_path / "a.json")


def test_a_series_and_a_cost_of_two_runs_are_paired() -> None:
    change, cost = compare.changes([result(100, 110, 90)], [result(150, 140, 160)])
    assert (change.before.middle, change.after.middle) == (100, 150)
    assert (cost.before.middle, cost.after.middle) == (210, 210)


def test_what_only_one_run_has_is_left_out() -> None:
    assert compare.changes([result(1, key="A")], [result(1, key="B")]) == []


def test_what_is_not_reached_is_listed() -> None:
    low, high = result(90, 95, 92), result(120, 130, 110)
    assert [result.key for result, _ in list_missed([low, high])] == ["A"]
    assert list_missed([high]) == []


def test_the_page_of_a_run_has_table_method_and_costs(tmp_path: Path) -> None:
    found = result(90, 110, 130)
    document = report.document("quick", {"processor": "one"}, [found])
    paths = report.write(tmp_path, document, [found], {"A": "How it is measured."})
    page = (tmp_path / "quick.md").read_text()
    assert "| A | iMSG, accepted | 110 1/s | 90.0 to 130 (36%) | ≥ 100 | yes |" in page
    assert "How it is measured." in page
    assert "| iMSG | 210 |" in page
    assert {path.name for path in paths} == {"quick.json", "quick.md"}
