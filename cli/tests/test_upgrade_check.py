"""`imsg upgrade-check` names what to do before an upgrade, the worst first, in both languages."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from imsg.table_owners import TABLE_OWNERS
from imsg_database.address import read_url
from imsg_database.migrate import migrate
from imsg_testing.command_line import run_imsg
from imsg_testing.service import environment


def check(folder: Path, *arguments: str, settings: Mapping[str, str], language: str) -> tuple[int, list[str]]:
    """Run the verb on a data folder; return the exit code and the rows."""
    env = environment({"IMSG_DATA_DIR": str(folder), "LANG": language, "COLUMNS": "2000", **settings})
    done = run_imsg("upgrade-check", *arguments, env=env, cwd=folder)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()[1:]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder with the tables of this version."""
    for owner in TABLE_OWNERS:
        migrate(read_url(f"sqlite:///{owner.find_file(tmp_path)}"), owner.migrations)
    return tmp_path


def set_version(folder: Path, owner: str, version: str) -> None:
    """Set the migration that the tables record."""
    with sqlite3.connect(folder / f"{owner}.db") as connection:
        connection.execute(f"UPDATE {owner}_version SET version_num = ?", (version,))  # noqa: S608  ours


def test_where_nothing_has_to_be_done_its_exit_code_shows_it(folder: Path) -> None:
    code, rows = check(folder, "--backup", str(folder), settings={}, language="en_US.UTF-8")
    assert code == 0, rows
    assert [row for row in rows if not row.startswith("✓")] == []


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("zh_CN.UTF-8", ("无法使用", "可以退回", "不读取 IMSG_SMTP__HSOT", "imsg backup 目录")),
        ("en_US.UTF-8", ("can't work", "only add", "does not read IMSG_SMTP__HSOT", "imsg backup FOLDER")),
    ],
)
def test_what_has_to_be_done_stands_first(folder: Path, language: str, said: tuple[str, ...]) -> None:
    set_version(folder, "scheduler", "0901")
    set_version(folder, "history", "0000")
    code, rows = check(folder, settings={"IMSG_SMTP__HSOT": "x"}, language=language)
    assert code == 1
    faults = [row for row in rows if row.startswith("✗")]
    assert rows[: len(faults)] == faults
    later, adding, unread, backup = said
    assert [any(words in row for row in faults) for words in (later, unread, backup)] == [True] * 3, faults
    (history,) = [row for row in rows if "history" in row]
    assert history.startswith("✓")
    assert adding in history
