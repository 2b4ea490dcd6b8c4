"""The backups that `imsg up` makes by itself: one a day, of which the last ones are kept."""

import asyncio
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from imsg import backup
from imsg.all_in_one import Settings
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.settings import StartError, variable

log = logger(__name__)

POLL_S = 30.0
"""How often the schedule is looked at, by the clock on the wall: the machine may have slept."""

RETRY_S = 600.0
"""How long after a failure the next try is made."""

NAME = "imsg-%Y%m%d-%H%M%S"

_NAMED = re.compile(r"imsg-\d{8}-\d{6}")
_HALF = re.compile(r"imsg-\d{8}-\d{6}\.\d+\.part")


def last_due(now: datetime, at: time) -> datetime:
    """Return the last moment at which a backup was due."""
    today = now.replace(hour=at.hour, minute=at.minute, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def find_newest(folder: Path, zone: tzinfo | None) -> datetime | None:
    """Return when the newest backup in the folder was begun, None where there is none. Raises OSError."""
    made = [path.name for path in folder.iterdir() if _NAMED.fullmatch(path.name)]
    return datetime.strptime(max(made), NAME).replace(tzinfo=zone) if made else None


def choose_expired(names: Iterable[str], keep: int) -> list[str]:
    """Return the backups to remove: all but the newest ones. Other folders are not ours."""
    return sorted(name for name in names if _NAMED.fullmatch(name))[:-keep]


@dataclass(frozen=True, slots=True)
class BackupSchedule:
    """Copies of one data folder in a folder of their own."""

    source: Path
    folder: Path
    at: time
    keep: int
    zone: ZoneInfo
    url: str
    """The embedded Valkey."""

    @classmethod
    def of(cls, settings: Settings, url: str) -> "BackupSchedule | None":
        """Return the schedule of the settings, None without one. Raises StartError."""
        if settings.backup.folder is None:
            return None
        if elsewhere := backup.list_elsewhere(settings):
            raise StartError(
                "{0} copies the data folder, but {1} keeps what must last elsewhere: back that up by its "
                "own tools, and unset the backup.",
                variable("backup", "folder"),
                " and ".join(elsewhere),
            )
        folder = settings.backup.folder.resolve()
        if folder.is_relative_to(settings.data_dir.resolve()):
            raise StartError(
                "{0} lies in the data folder; name a folder on another disk.", variable("backup", "folder")
            )
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(
                "{0}: {1} can't be made ({2}).", variable("backup", "folder"), folder, error.strerror
            ) from error
        zone = ZoneInfo(settings.timezone)
        return cls(settings.data_dir, folder, settings.backup.at, settings.backup.keep, zone, url)

    async def run(self) -> None:
        """Make a backup whenever one is due, also one that was missed, and remove the oldest."""
        problem = RecurringProblem(log, "backup_failed", folder=str(self.folder))
        while True:
            wait_s = await self._make_due(problem)
            await asyncio.sleep(wait_s)

    async def _make_due(self, problem: RecurringProblem) -> float:
        """Make the backup that is due, if any; return how long to wait."""
        now = datetime.now(self.zone)
        newest = find_newest(self.folder, self.zone)
        if newest is not None and newest >= last_due(now, self.at):
            return POLL_S
        for name in filter(_HALF.fullmatch, self._list()):  # of a process that was killed
            await asyncio.to_thread(shutil.rmtree, self.folder / name, ignore_errors=True)
        target = self.folder / now.strftime(NAME)
        try:
            await backup.copy(self.source, target, self.url)
        except StartError as error:
            problem.report(error)
            return RETRY_S
        for name in choose_expired(self._list(), self.keep):
            await asyncio.to_thread(shutil.rmtree, self.folder / name, ignore_errors=True)
        problem.clear()
        log.info("backup_made", folder=str(target))
        return POLL_S

    def _list(self) -> list[str]:
        return [path.name for path in self.folder.iterdir()]
