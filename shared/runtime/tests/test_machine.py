"""The room on a disk, the end of a certificate, and that there is no backup."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imsg_runtime.machine import check_disk, check_expiry, describe_no_backup

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_a_full_disk_is_to_be_cleared(tmp_path: Path) -> None:
    (roomy,) = check_disk(tmp_path, least_gib=0)
    (full,) = check_disk(tmp_path, least_gib=2**40)

    assert (roomy.level, full.level) == ("well", "fault")
    assert list(check_disk(tmp_path / "not yet", least_gib=0)) == []


@pytest.mark.parametrize(
    ("days_left", "level", "words"),
    [
        (15, "well", "valid until 2026-12-14"),
        (13, "fault", "valid until 2026-12-12"),
        (-1, "fault", "ended on 2026-11-28"),
    ],
)
def test_a_certificate_is_renewed_two_weeks_before_its_end(days_left: int, level: str, words: str) -> None:
    finding = check_expiry("a.pem", NOON + timedelta(days=days_left), NOON, ("续期", "Renew it."))

    assert finding.level == level
    assert words in finding.state.en
    assert (finding.remedy is not None) == (level == "fault")


@pytest.mark.parametrize(
    ("within_hours", "is_public", "level", "state"),
    [
        (0, True, "well", "made by other means (IMSG_BACKUP_HOURS is 0)"),
        (26, False, "well", "no backup yet; `it` makes one"),
        (26, True, "notice", "no backup yet"),
    ],
)
def test_a_backup_is_missed_where_people_use_imsg(
    within_hours: int, *, is_public: bool, level: str, state: str
) -> None:
    finding = describe_no_backup(
        ("用 `it` 备份", "`it` makes one"), ("运行 `it`", "Run `it`"), within_hours=within_hours, is_public=is_public
    )

    assert (finding.level, finding.state.en) == (level, state)
    assert (finding.remedy and finding.remedy.en) == (
        "Run `it`; by other means: IMSG_BACKUP_HOURS=0." if level == "notice" else None
    )
