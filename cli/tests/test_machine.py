"""What `imsg up` says of its disk, backups and certificate."""

from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cryptography import x509

from imsg.all_in_one import BackupSettings, Settings
from imsg.machine import check_backup, check_certificate, describe_missing_backup
from imsg_testing.servers.certificates import Certificates

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 11, 29, 12, 0, tzinfo=SHANGHAI)
AT_THREE = BackupSettings(at=time(3, 0))


@pytest.mark.parametrize(
    ("names", "is_overdue"),
    [
        (["imsg-20261128-030000", "imsg-20261129-030001"], False),
        (["imsg-20261128-030000", "imsg-20261129-030001.77.part"], True),
        (["photos"], True),
    ],
)
def test_a_backup_that_was_not_made_is_overdue(tmp_path: Path, names: list[str], is_overdue: bool) -> None:  # noqa: FBT001
    for name in names:
        (tmp_path / name).mkdir()

    finding = check_backup(AT_THREE, tmp_path, NOON)

    assert (finding.level == "fault") == is_overdue
    assert finding.state.en.startswith("overdue; ") == is_overdue


def test_a_backup_of_this_minute_may_still_be_in_the_making(tmp_path: Path) -> None:
    (tmp_path / "imsg-20261128-030000").mkdir()

    assert check_backup(AT_THREE, tmp_path, NOON.replace(hour=3, minute=20)).level == "well"
    assert check_backup(AT_THREE, tmp_path, NOON.replace(hour=4, minute=20)).level == "fault"


@pytest.mark.parametrize(
    ("given", "level", "words"),
    [
        ({}, "well", "IMSG_BACKUP__FOLDER"),
        ({"public_url": "https://imsg.example.com"}, "notice", "no backup yet"),
        ({"public_url": "https://imsg.example.com", "backup_hours": 0}, "well", "other means"),
        ({"public_url": "https://imsg.example.com", "database_url": "postgresql://h/imsg"}, "well", "its own tools"),
    ],
)
def test_a_public_installation_needs_backups(given: dict[str, Any], level: str, words: str) -> None:
    finding = describe_missing_backup(Settings(**given))

    assert finding.level == level
    assert words in finding.state.en
    assert ("IMSG_BACKUP__FOLDER" in (finding.remedy.en if finding.remedy else "")) == (level == "notice")


def test_what_cannot_be_read_is_unknown_and_no_fault(tmp_path: Path) -> None:
    assert check_backup(AT_THREE, tmp_path / "gone", NOON).level == "notice"
    assert check_certificate(tmp_path / "gone.pem", NOON).level == "notice"


@pytest.mark.parametrize(
    ("days_left", "is_fault", "state"), [(15, False, "valid until"), (13, True, "valid until"), (-1, True, "ended on")]
)
def test_a_certificate_that_ends_soon_is_to_be_renewed(
    tmp_path: Path,
    days_left: int,
    is_fault: bool,  # noqa: FBT001
    state: str,
) -> None:
    file = Certificates(tmp_path, "imsg.example.com").server
    ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc

    finding = check_certificate(file, ends - timedelta(days=days_left))

    assert (finding.level == "fault") == is_fault
    assert f"{state} {ends.astimezone():%Y-%m-%d}" in finding.state.en


def test_a_file_without_a_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no certificate")

    finding = check_certificate(tmp_path / "key.pem", NOON)

    assert "IMSG_TLS__CERTIFICATE" in (finding.remedy.en if finding.remedy else "")
