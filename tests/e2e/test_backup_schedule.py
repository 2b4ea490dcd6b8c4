"""`imsg up` makes its backups by itself, keeps the last ones, and continues from one."""

import shutil
from datetime import datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from imsg.all_in_one import Settings
from imsg.backup_schedule import BackupSchedule, choose_expired, last_due
from imsg_runtime.settings import StartError, load
from imsg_testing.deployment import running
from imsg_testing.waiting import wait

ZONE = ZoneInfo("Asia/Shanghai")
OLD = ("imsg-20250101-030000", "imsg-20250102-030000", "imsg-20250103-030000")


def _backups(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.long  # three starts
def test_a_missed_backup_is_made_at_the_start_the_oldest_go_and_the_copy_runs(tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    for name in (*OLD, "imsg-20250104-030000.1.part", "photos"):
        (folder / name).mkdir(parents=True)
    with running(tmp_path / "lost", {"IMSG_BACKUP__FOLDER": str(folder), "IMSG_BACKUP__KEEP": "2"}) as deployment:
        before = deployment.send("before@example.com")["id"]  # may be in the first copy or not
        deployment.wait_settled(before)
        wait(lambda: not (folder / OLD[1]).exists(), 60)
        assert _backups(folder)[0] == OLD[2]
        assert _backups(folder)[2:] == ["photos"]
        made = folder / _backups(folder)[1]
        deployment.new_user(email="later@example.com")

        # The one of today is gone: another is due, which has the user.
        shutil.rmtree(made)
    with running(tmp_path / "lost", {"IMSG_BACKUP__FOLDER": str(folder), "IMSG_BACKUP__KEEP": "2"}) as deployment:
        wait(lambda: len(_backups(folder)) == 3 and not any("part" in name for name in _backups(folder)), 60)
    (name,) = set(_backups(folder)) - {*OLD, "photos"}

    shutil.copytree(folder / name, tmp_path / "found" / "data")
    with running(tmp_path / "found") as deployment:
        users = deployment.call("GET", "/api/v2/users", {"token": deployment.token()})["users"]
        assert "later@example.com" in [user["email"] for user in users]
        (message,) = deployment.messages(before)
        assert message["status"] == "sent"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"IMSG_BACKUP__FOLDER": "backups", "IMSG_DATABASE_URL": "postgresql://u:p@localhost/x"}, "IMSG_DATABASE_URL"),
        ({"IMSG_BACKUP__FOLDER": "data/backups", "IMSG_DATA_DIR": "data"}, "lies in the data folder"),
        ({"IMSG_BACKUP__FOLDER": "backups", "IMSG_BACKUP__AT": "25:00"}, "IMSG_BACKUP__AT"),
    ],
)
def test_a_schedule_that_would_keep_nothing_stops_the_start(
    settings: dict[str, str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(StartError, match=named):
        BackupSchedule.of(load(Settings), "")


def test_a_backup_is_due_at_its_time_of_the_day() -> None:
    at = time(3, 0)

    assert last_due(datetime(2026, 11, 29, 2, 59, tzinfo=ZONE), at) == datetime(2026, 11, 28, 3, 0, tzinfo=ZONE)
    assert last_due(datetime(2026, 11, 29, 3, 0, tzinfo=ZONE), at) == datetime(2026, 11, 29, 3, 0, tzinfo=ZONE)


def test_only_backups_are_removed_and_the_newest_stay() -> None:
    assert choose_expired([*OLD, "photos", "imsg-20250104-030000.1.part"], 2) == [OLD[0]]
    assert choose_expired(OLD, 3) == []
