"""What only the machine of `imsg up` knows: the room on its disk, its backups, its certificate."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from cryptography import x509

from imsg import backup
from imsg.all_in_one import BackupSettings, Settings
from imsg.backup_schedule import find_newest, last_due
from imsg_contract.findings import Finding, make_finding
from imsg_runtime.machine import check_disk, check_expiry, describe_no_backup
from imsg_runtime.settings import variable

BACKUP_TAKES = timedelta(hours=1)
"""How long a backup may take, or be tried again, before it counts as missing."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Check the disk, and the backups and the certificate where there are any."""
    zone = ZoneInfo(settings.timezone)
    yield from check_disk(settings.data_dir, settings.disk_free_gib)
    if settings.backup.folder is not None:
        yield check_backup(settings.backup, settings.backup.folder, datetime.now(zone))
    else:
        yield describe_missing_backup(settings)
    if settings.tls.certificate is not None:
        yield check_certificate(settings.tls.certificate, datetime.now(zone))


def describe_missing_backup(settings: Settings) -> Finding:
    """Return the finding where `imsg up` makes no backups, as at a first try."""
    if elsewhere := ", ".join(backup.list_elsewhere(settings)):
        state = f"{elsewhere} 的数据由您自己备份", f"what {elsewhere} names is backed up by its own tools"
        return make_finding("backup", "well", state)
    name = variable("backup", "folder")
    return describe_no_backup(
        (f"设置 {name} 可每天备份", f"{name} lets iMSG make one a day"),
        (
            f"把 {name} 设为另一块磁盘上的目录，iMSG 会每天备份",
            f"Let {name} name a folder on another disk: iMSG makes one a day",
        ),
        within_hours=settings.backup_hours,
        is_public=bool(settings.public_url),
    )


def check_backup(settings: BackupSettings, folder: Path, now: datetime) -> Finding:
    """Return whether the backup that was due last is there; `now` is in the zone of the settings."""
    try:
        newest = find_newest(folder, now.tzinfo)
    except OSError as error:
        return _make_unreadable("backup", folder, error)
    made = f"{newest:%Y-%m-%d %H:%M %z}" if newest else ""
    state = (
        f"{folder} 中最新的备份：{made or '无'}",
        f"the newest in {folder} is of {made}" if made else f"none is in {folder}",
    )
    if newest is not None and newest >= last_due(now - BACKUP_TAKES, settings.at):
        return make_finding("backup", "well", state)
    remedy = (
        "`imsg up` 会补做缺少的备份：请确认它在运行；若在运行，日志中的 backup_failed 说明原因。",
        "`imsg up` makes what is missing: see that it runs. Where it does, backup_failed in its log says why not.",
    )
    return make_finding("backup", "fault", (f"已逾期；{state[0]}", f"overdue; {state[1]}"), remedy)


def check_certificate(file: Path, now: datetime) -> Finding:
    """Return how long the first certificate of the file is valid."""
    try:
        ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except OSError as error:
        return _make_unreadable("certificate", file, error)
    except ValueError:
        name = variable("tls", "certificate")
        remedy = (
            f"把证书及其证书链放到该文件中；{name} 指定文件。",
            f"Put the certificate there, with its chain; {name} names the file.",
        )
        return make_finding(
            "certificate", "fault", (f"{file} 中没有证书（PEM）", f"{file} holds no certificate (PEM)"), remedy
        )
    remedy = (
        "续期后放回同一文件：iMSG 数秒内会重新读取。",
        "Renew it, and put it in the same file: iMSG reads it within seconds.",
    )
    return check_expiry(str(file), ends, now, remedy)


def _make_unreadable(part: str, path: Path, error: OSError) -> Finding:
    reason = (error.strerror or str(error)).lower()
    remedy = "让运行 imsg 的用户能读取它。", "Let the user of imsg read it."
    return make_finding(part, "notice", (f"无法读取 {path}（{reason}）", f"{path} can't be read ({reason})"), remedy)
