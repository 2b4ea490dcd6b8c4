"""Secrets: made once, private, the same for everybody who asks."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imsg import secrets
from imsg_runtime.settings import StartError


def test_each_has_a_file_of_its_own_that_only_its_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    assert secrets.keep_all(folder, secrets.MADE) == list(secrets.MADE)

    assert sorted(file.name for file in folder.iterdir()) == sorted(secrets.MADE)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert len({file.read_text() for file in folder.iterdir()}) == len(secrets.MADE)


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    secrets.keep_all(tmp_path, ["token_key"])
    before = (tmp_path / "token_key").read_text()

    assert secrets.keep_all(tmp_path, ["token_key", "service_key"]) == ["service_key"]

    assert (tmp_path / "token_key").read_text() == before


def test_two_that_start_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        got = set(threads.map(lambda _: secrets.keep(tmp_path, "service_key"), range(64)))

    assert len(got) == 1


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token_key").write_text("\n")

    with pytest.raises(StartError, match="token_key is empty"):
        secrets.keep(tmp_path, "token_key")
