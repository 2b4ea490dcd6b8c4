"""Checks of the room on a disk, the end of a certificate, and the age of a backup."""

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from imsg_contract.findings import Finding, make_finding

RENEWED_BEFORE = timedelta(days=14)
"""Let's Encrypt's certificates are renewed 30 days before their end: at 14 days several tries have failed."""

_GIB = 1024**3


def check_disk(folder: Path, least_gib: int) -> Iterator[Finding]:
    """Check the room on the disk of a folder; nothing before the folder is there."""
    if not folder.exists():
        return
    disk, at = shutil.disk_usage(folder), folder.resolve()
    free, total = f"{disk.free / _GIB:,.1f}", f"{disk.total / _GIB:,.1f}"
    state = f"{at} 可用 {free} GiB，共 {total} GiB", f"{free} GiB of {total} are free at {at}"
    if disk.free >= least_gib * _GIB:
        yield make_finding("disk", "well", state)
        return
    remedy = (
        "写满之前请腾出空间：写满后 iMSG 不接收任何请求。",
        "Make room before it is full: iMSG accepts nothing then.",
    )
    yield make_finding("disk", "fault", state, remedy)


def check_expiry(what: str, ends: datetime, now: datetime, remedy: tuple[str, str]) -> Finding:
    """Return how long a certificate is valid."""
    end = f"{ends.astimezone(now.tzinfo):%Y-%m-%d %H:%M %z}"
    state = f"{what} 有效期至 {end}", f"{what} is valid until {end}"
    if ends - now > RENEWED_BEFORE:
        return make_finding("certificate", "well", state)
    if ends <= now:
        state = f"{what} 已于 {end} 过期", f"{what} ended on {end}"
    return make_finding("certificate", "fault", state, remedy)


def describe_no_backup(hint: tuple[str, str], step: tuple[str, str], *, within_hours: int, is_public: bool) -> Finding:
    """Return the finding of an installation without a backup: a notice where people use it (`is_public`).

    `within_hours` is 0 where backups are made by other means. `hint` and `step` end the state and begin the remedy, in
    Chinese and English: how a backup is made here.
    """
    if within_hours == 0:
        state = "由其他方式备份（IMSG_BACKUP_HOURS 为 0）", "made by other means (IMSG_BACKUP_HOURS is 0)"
        return make_finding("backup", "well", state)
    if not is_public:
        return make_finding("backup", "well", (f"还没有备份；{hint[0]}", f"no backup yet; {hint[1]}"))
    remedy = (
        f"{step[0]}；若用其他方式备份，把 IMSG_BACKUP_HOURS 设为 0。",
        f"{step[1]}; by other means: IMSG_BACKUP_HOURS=0.",
    )
    return make_finding("backup", "notice", ("还没有备份", "no backup yet"), remedy)
