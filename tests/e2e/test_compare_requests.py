"""The comparison of two revisions' answers finds none between a tree and itself, and shows where two answers part."""

from pathlib import Path

import pytest

from imsg_testing.compare_requests import main, show_difference

ROOT = Path(__file__).parents[2]


@pytest.mark.release  # two `imsg up`
def test_a_tree_answers_as_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(ROOT), str(ROOT), "--only", "/api/send: "]) == 0
    assert "0 answered differently" in capsys.readouterr().out


def test_a_difference_is_shown_where_it_begins() -> None:
    before, after = (f"HTTP/1.1 200 OK\n{'x' * 500}\n\n{body}" for body in ("[1]", "[2]"))
    shown = show_difference(before, after).splitlines()
    assert [line.endswith(f'{body}"') for line, body in zip(shown, ("[1]", "[2]"), strict=True)] == [True, True]
    assert all(len(line) < 100 for line in shown)
