"""Secrets: made once, private, the same for all processes; and those that are derived from one of them."""

import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imsg import rights, secrets
from imsg.table_owners import TABLE_OWNERS
from imsg_runtime.settings import StartError


def test_each_has_a_file_of_its_own_that_only_its_owner_reads(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"

    assert secrets.make_missing(folder, secrets.MADE) == list(secrets.MADE)

    assert sorted(file.name for file in folder.iterdir()) == sorted(secrets.MADE)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert len({file.read_text() for file in folder.iterdir()}) == len(secrets.MADE)


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    secrets.make_missing(tmp_path, ["token_key"])
    before = (tmp_path / "token_key").read_text()

    assert secrets.make_missing(tmp_path, ["token_key", "service_key"]) == ["service_key"]

    assert (tmp_path / "token_key").read_text() == before


def test_two_that_start_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        got = set(threads.map(lambda _: secrets.read_or_make(tmp_path, "service_key"), range(64)))

    assert len(got) == 1


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token_key").write_text("\n")

    with pytest.raises(StartError, match="token_key is empty"):
        secrets.read_or_make(tmp_path, "token_key")


def test_five_files_are_all_that_must_last(tmp_path: Path) -> None:
    kept, again = tmp_path / "kept", tmp_path / "again"
    secrets.make_missing(kept, secrets.KEPT)
    assert len(list(kept.iterdir())) == 5

    first = write_all(kept, tmp_path / "first", "wechat_aes_key")
    shutil.copytree(kept, again)

    assert write_all(again, tmp_path / "second", "wechat_aes_key") == first
    assert set(first) == {*secrets.DERIVED, *secrets.KEPT, "wechat_aes_key"} - {secrets.ROOT}
    assert len(set(first.values())) == len(first), "two are the same"
    assert len(first["wechat_aes_key"]) == 43
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "first").iterdir()} == {0o600}


def test_no_service_gets_the_root_key_or_a_part_of_it(tmp_path: Path) -> None:
    handed = write_all(tmp_path / "kept", tmp_path / "all")

    root = (tmp_path / "kept" / secrets.ROOT).read_text()
    assert secrets.ROOT not in handed
    assert [name for name, value in handed.items() if value[:16] in root or root[:16] in value] == []


def test_a_file_of_ones_own_takes_the_place_of_what_is_derived(tmp_path: Path) -> None:
    kept, to = tmp_path / "kept", tmp_path / "all"
    before = write_all(kept, to)
    (kept / "gateway_redis_password").write_text("chosen")
    (kept / "smtp_password").write_text("of the mail server")

    after = write_all(kept, to)

    assert after == before | {"gateway_redis_password": "chosen", "smtp_password": "of the mail server"}


def test_another_root_key_leaves_what_opens_the_stored_data(tmp_path: Path) -> None:
    kept, to = tmp_path / "kept", tmp_path / "all"
    secrets.make_missing(kept, secrets.KEPT)
    before = write_all(kept, to)
    (kept / secrets.ROOT).unlink()

    after = write_all(kept, to)

    lasting = {*secrets.KEPT} - {secrets.ROOT}
    assert {name for name in before if before[name] == after[name]} == lasting


def test_a_root_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    (tmp_path / secrets.ROOT).write_text("secret")

    with pytest.raises(StartError, match="root_key has less than 32 characters"):
        secrets.write_all(tmp_path, tmp_path / "all")


def test_every_user_at_the_stores_has_a_password_of_its_own_at_each(tmp_path: Path) -> None:
    secrets.write_all(tmp_path / "kept", tmp_path / "all")

    assert rights.acl(tmp_path / "all").count("on #") == len(rights.SERVICES) + 1
    assert all(f"imsg-{service}" in rights.definitions(tmp_path / "all") for service in rights.SERVICES)
    assert {owner.name for owner in TABLE_OWNERS} == set(secrets.TABLE_OWNERS)


def write_all(kept: Path, to: Path, *more: str) -> dict[str, str]:
    """Write the secrets, and read all that was written."""
    secrets.write_all(kept, to, more)
    return {file.name: file.read_text() for file in to.iterdir()}
