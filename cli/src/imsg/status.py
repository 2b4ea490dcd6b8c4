"""`imsg status`: what runs now, the worst first, each fault with the next step."""

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from cryptography import x509

from imsg import all_in_one, backup
from imsg.all_in_one import BackupSettings, Settings
from imsg.backup_schedule import find_newest, last_due
from imsg.doctor import bounces, services, stores
from imsg.doctor.checks import run_checks
from imsg.findings import Finding, print_findings
from imsg.instance import find_instance, is_elsewhere
from imsg.location import find_url
from imsg_channels.smtp import SMTP
from imsg_runtime.logs import configure
from imsg_runtime.settings import StartError, load, variable

BACKUP_TAKES = timedelta(hours=1)
"""How long a backup may take, or be tried again, before it counts as missing."""

RENEWED_BEFORE = timedelta(days=14)
"""Let's Encrypt's certificates are renewed 30 days before their end: at 14 days several tries have failed."""

FREE_BYTES = 2 * 1024**3
"""The least that should be free on the disk of the data folder: a rewrite of Valkey's log and a merge of SQLite's need
as much as the files have."""

MARKS = "✗?✓"
"""The marks of findings, the worst first."""


def main(url: str | None) -> int:
    """Print the findings; return 0 where all is well, 1 where something needs a remedy."""
    configure("ERROR", "text")
    try:
        settings = load(Settings)
        url = find_url(url)
        instance = find_instance(url)
        runs_elsewhere = is_elsewhere(settings, instance)
    except StartError as error:
        return print_findings([Finding("settings", "wrong", str(error))])
    findings = [instance.finding]
    if not runs_elsewhere:
        findings += asyncio.run(_examine_here(settings))
    if instance.is_imsg:
        # In one process all services answer, or none: its readiness says which part lacks something.
        apart = (services.check_services,) if runs_elsewhere else ()
        checks = (services.check_channels, services.check_oldest, services.check_attention, services.check_dead_letters)
        findings += services.examine(url, *apart, *checks)
    return print_findings(sorted(findings, key=lambda finding: MARKS.index(finding.mark)))


async def _examine_here(settings: Settings) -> list[Finding]:
    """Check what `imsg up` of these settings stands on."""
    now = datetime.now(ZoneInfo(settings.timezone))
    findings = await run_checks(
        [*stores.list_checks(settings), ("bounces", lambda: bounces.examine(all_in_one.read_channel(SMTP)))]
    )
    return [*findings, *check_disk(settings.data_dir), *_check_backup(settings, now), *_check_certificate(settings)]


def check_disk(folder: Path, least_bytes: int = FREE_BYTES) -> Iterator[Finding]:
    """Check the room on the disk of the data folder; nothing before the first start."""
    if not folder.exists():
        return
    disk = shutil.disk_usage(folder)
    state = f"{disk.free / 1024**3:,.1f} GiB of {disk.total / 1024**3:,.1f} are free at {folder.resolve()}"
    remedy = "" if disk.free >= least_bytes else "Make room before it is full: iMSG accepts nothing then."
    yield Finding("disk", state, remedy)


def _check_backup(settings: Settings, now: datetime) -> Iterator[Finding]:
    """Check the backups that `imsg up` makes."""
    if settings.backup.folder is not None:
        yield judge_backup(settings.backup, settings.backup.folder, now)
    elif not backup.list_elsewhere(settings):
        yield Finding("backup", f"iMSG makes none; {variable('backup', 'folder')} lets it make one a day")


def judge_backup(settings: BackupSettings, folder: Path, now: datetime) -> Finding:
    """Return whether the backup that was due last is there; `now` is in the zone of the settings."""
    try:
        newest = find_newest(folder, now.tzinfo)
    except OSError as error:
        return Finding("backup", f"{folder} can't be read ({(error.strerror or str(error)).lower()})", is_known=False)
    state = f"the newest in {folder} is of {newest:%Y-%m-%d %H:%M}" if newest else f"none is in {folder}"
    if newest is not None and newest >= last_due(now - BACKUP_TAKES, settings.at):
        return Finding("backup", state)
    remedy = "`imsg up` makes what is missing: see that it runs. Where it does, backup_failed in its log says why not."
    return Finding("backup", f"overdue; {state}", remedy)


def _check_certificate(settings: Settings) -> Iterator[Finding]:
    """Check the certificate of HTTPS, if `imsg up` serves it."""
    if settings.tls.certificate is not None:
        yield judge_certificate(settings.tls.certificate, datetime.now(UTC))


def judge_certificate(file: Path, now: datetime) -> Finding:
    """Return how long the first certificate of the file is valid."""
    try:
        ends = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        return Finding("certificate", f"{file} can't be read ({reason})", is_known=False)
    except ValueError:
        remedy = f"Put the certificate there, with its chain; {variable('tls', 'certificate')} names the file."
        return Finding("certificate", f"{file} holds no certificate (PEM)", remedy)
    state = f"{file} is valid until {ends.astimezone():%Y-%m-%d %H:%M}"
    if ends - now > RENEWED_BEFORE:
        return Finding("certificate", state)
    state = f"{file} ended on {ends.astimezone():%Y-%m-%d %H:%M}" if ends <= now else state
    return Finding("certificate", state, "Renew it, and put it in the same file: iMSG reads it within seconds.")
