"""A release has a record of every part of its tests, for what it holds; CI splits the same parts."""

import subprocess
from pathlib import Path

import pytest
import yaml

from imsg_testing.deployed import ROOT
from imsg_testing.release_run import PARTS, Record, missing

AUTHOR = ("-c", "user.name=imsg", "-c", "user.email=imsg@example.com")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    commit(tmp_path, "code.py")
    return tmp_path


def git(tree: Path, *arguments: str) -> str:
    command = ["git", *AUTHOR, *arguments]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def commit(tree: Path, name: str) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(f"{name}\n", encoding="utf-8")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message", name)


def passed(tree: Path) -> list[Record]:
    return [Record(part, git(tree, "rev-parse", "HEAD"), "2026-12-03T00:00:00Z", 1.0, passed=True) for part in PARTS]


def test_a_release_wants_each_part_to_have_passed(tree: Path) -> None:
    first, *others = passed(tree)
    failed = Record(first.part, first.commit, first.began, first.took_s, passed=False)

    assert missing([first, *others], tree) == []
    assert missing([failed, *others], tree) == [first.part]
    assert missing(others, tree) == [first.part]


@pytest.mark.parametrize("name", ["docs/fault-tolerance.md", "bench/results/results.json"])
def test_what_the_parts_write_may_be_committed_after_them(tree: Path, name: str) -> None:
    records = passed(tree)
    commit(tree, name)

    assert missing(records, tree) == []


def test_any_other_change_wants_all_of_it_again(tree: Path) -> None:
    records = passed(tree)
    (tree / "new.py").touch()
    assert missing(records, tree) == list(PARTS)
    commit(tree, "new.py")
    assert missing(records, tree) == list(PARTS)


def test_ci_runs_the_parts_of_a_release() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["test-release"]["strategy"]["matrix"]

    assert {*matrix["part"], *(part["part"] for part in matrix["include"])} == set(PARTS)
