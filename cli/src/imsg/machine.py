"""What only the machine of `imsg up` knows: the room on its disk, its backups, its certificate."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from cryptography import x509

from imsg import backup
from imsg.all_in_one import BackupSettings, Settings
from imsg.backup_schedule import find_newest, last_due
from imsg_contract.findings import Finding, Level, Sentence
from imsg_runtime.settings import variable

BACKUP_TAKES = timedelta(hours=1)
"""How long a backup may take, or be tried again, before it counts as missing."""

RENEWED_BEFORE = timedelta(days=14)
"""Let's Encrypt's certificates are renewed 30 days before their end: at 14 days several tries have failed."""

FREE_BYTES = 2 * 1024**3
"""The least that should be free on the disk of the data folder: a rewrite of Valkey's log and a merge of SQLite's need
as much as the files have."""


def examine(settings: Settings) -> Iterator[Finding]:
    """Check the disk, and the backups and the certificate where there are any."""
    yield from check_disk(settings.data_dir)
    if settings.backup.folder is not None:
        yield judge_backup(settings.backup, settings.backup.folder, datetime.now(ZoneInfo(settings.timezone)))
    elif not backup.list_elsewhere(settings):
        name = variable("backup", "folder")
        yield _make(
            "backup",
            "well",
            f"iMSG 不做备份；设置 {name} 可每天备份",
            f"iMSG makes none; {name} lets it make one a day",
        )
    if settings.tls.certificate is not None:
        yield judge_certificate(settings.tls.certificate, datetime.now(UTC))


def check_disk(folder: Path, least_bytes: int = FREE_BYTES) -> Iterator[Finding]:
    """Check the room on the disk of the data folder; nothing before the first start."""
    if not folder.exists():
        return
    disk, at = shutil.disk_usage(folder), folder.resolve()
    free, total = f"{disk.free / 1024**3:,.1f}", f"{disk.total / 1024**3:,.1f}"
    state = f"{at} 可用 {free} GiB，共 {total} GiB", f"{free} GiB of {total} are free at {at}"
    if disk.free >= least_bytes:
        yield _make("disk", "well", *state)
        return
    remedy = (
        "写满之前请腾出空间：写满后 iMSG 不接收任何请求。",
        "Make room before it is full: iMSG accepts nothing then.",
    )
    yield _make("disk", "fault", *state, remedy)


def judge_backup(settings: BackupSettings, folder: Path, now: datetime) -> Finding:
    """Return whether the backup that was due last is there; `now` is in the zone of the settings."""
    try:
        newest = find_newest(folder, now.tzinfo)
    except OSError as error:
        return _make_unreadable("backup", folder, error)
    made = f"{newest:%Y-%m-%d %H:%M}" if newest else ""
    state = (
        f"{folder} 中最新的备份：{made or '无'}",
        f"the newest in {folder} is of {made}" if made else f"none is in {folder}",
    )
    if newest is not None and newest >= last_due(now - BACKUP_TAKES, settings.at):
        return _make("backup", "well", *state)
    remedy = (
        "`imsg up` 会补做缺少的备份：请确认它在运行；若在运行，日志中的 backup_failed 说明原因。",
        "`imsg up` makes what is missing: see that it runs. Where it does, backup_failed in its log says why not.",
    )
    return _make("backup", "fault", f"已逾期；{state[0]}", f"overdue; {state[1]}", remedy)


def judge_certificate(file: Path, now: datetime) -> Finding:
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
        return _make("certificate", "fault", f"{file} 中没有证书（PEM）", f"{file} holds no certificate (PEM)", remedy)
    end = f"{ends.astimezone():%Y-%m-%d %H:%M}"
    state = f"{file} 有效期至 {end}", f"{file} is valid until {end}"
    if ends - now > RENEWED_BEFORE:
        return _make("certificate", "well", *state)
    if ends <= now:
        state = f"{file} 已于 {end} 过期", f"{file} ended on {end}"
    remedy = (
        "续期后放回同一文件：iMSG 数秒内会重新读取。",
        "Renew it, and put it in the same file: iMSG reads it within seconds.",
    )
    return _make("certificate", "fault", *state, remedy)


def _make_unreadable(part: str, path: Path, error: OSError) -> Finding:
    reason = (error.strerror or str(error)).lower()
    remedy = "让运行 imsg 的用户能读取它。", "Let the user of imsg read it."
    return _make(part, "notice", f"无法读取 {path}（{reason}）", f"{path} can't be read ({reason})", remedy)


def _make(part: str, level: Level, zh: str, en: str, remedy: tuple[str, str] | None = None) -> Finding:
    step = Sentence(zh=remedy[0], en=remedy[1]) if remedy else None
    return Finding(part=part, level=level, state=Sentence(zh=zh, en=en), remedy=step)
