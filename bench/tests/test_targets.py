"""The list of what was to be reached."""

import json
from pathlib import Path

import pytest

from imsg_bench import report, targets
from imsg_bench.result import Result, Series


def write_kept(path: Path, *found: Result) -> str:
    """Write a run's file."""
    path.write_text(json.dumps(report.document("quick", {"processor": "one"}, found)))
    return str(path)


A = Result("A", "Accepted", (Series("ratio", "", (0.8, 0.7, 0.76), at_least=0.75), Series("rate", "1/s", (1.0,))))
O = Result("O", "Left", (Series("Redis", "MB", (117.0,), at_most=10),))  # noqa: E741  its letter


def test_only_what_has_a_target_is_listed() -> None:
    lines = targets.table([A, O]).splitlines()
    assert lines[2] == "| A | ratio | ≥ 0.75 | 0.760 | 0.700 to 0.800 | yes |"
    assert lines[3] == "| O | Redis | ≤ 10 | 117 MB | one | **no** |"
    assert lines[-1] == "1 of 2 reached."


def test_runs_are_put_together_and_what_none_has_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    later = Result("A", "Accepted", (Series("ratio", "", (0.5,), at_least=0.75),))
    files = [write_kept(tmp_path / "one.json", A, O), write_kept(tmp_path / "two.json", later)]
    assert targets.main(files, ["A", "O", "M"]) == 0
    said = capsys.readouterr().out
    assert "| A | ratio | ≥ 0.75 | 0.500 | one | **no** |" in said
    assert "0 of 2 reached." in said
    assert "Not measured in these: M." in said


def test_a_file_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text("[]")
    assert targets.main([str(tmp_path / "a.json")], []) == 2
    assert "a.json" in capsys.readouterr().err
