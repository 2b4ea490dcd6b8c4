"""What the version before has left is never changed: further migrations are added beside its own."""

import re
from pathlib import PurePath

import pytest

from imsg_testing import baseline

COMMIT = baseline.read_commit()
VERSIONS = "/migrations/versions/"


def list_migrations(paths: list[str]) -> list[str]:
    """Return the migrations among the paths."""
    return [path for path in paths if VERSIONS in path and path.endswith(".py")]


def find_number(path: str) -> int:
    """Return the number of a migration, the end of its module's name."""
    return int(PurePath(path).stem.rpartition("_")[2])


def test_the_baseline_has_the_first_migration_of_each_service() -> None:
    assert re.fullmatch(r"[0-9a-f]{40}", COMMIT)
    assert {find_number(path) for path in list_migrations(baseline.list_files(COMMIT))} >= {1}


@pytest.mark.parametrize("path", list_migrations(baseline.list_files(COMMIT)))
def test_a_migration_of_the_version_before_is_as_it_was(path: str) -> None:
    file = baseline.ROOT / path
    assert file.exists(), f"{path} is missing: installations that ran it can't migrate any further"
    assert file.read_bytes() == baseline.read_file(COMMIT, path), (
        f"{path} was changed after {COMMIT[:12]}: installations that ran it would lack the change. "
        "Add a migration beside it; only before 1.0.0 may deploy/baseline name a later commit instead."
    )


@pytest.mark.parametrize(
    "folder", sorted({path.rpartition("/")[0] for path in list_migrations(baseline.list_files(COMMIT))})
)
def test_a_further_migration_has_a_higher_number(folder: str) -> None:
    before = {path for path in list_migrations(baseline.list_files(COMMIT)) if path.startswith(folder)}
    now = {str(path.relative_to(baseline.ROOT)) for path in (baseline.ROOT / folder).glob("*.py")}
    assert all(find_number(path) > max(map(find_number, before)) for path in now - before)
