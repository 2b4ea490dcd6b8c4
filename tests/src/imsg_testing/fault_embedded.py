"""`imsg up` for fault tests: its own mail server outside, its parent killed alone, its disk filled."""

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from imsg_testing.command_line import IMSG
from imsg_testing.deployment import Deployment
from imsg_testing.fault_clients import FaultTarget
from imsg_testing.mailbox import Mailbox
from imsg_testing.processes import descendants
from imsg_testing.waiting import wait


class EmbeddedDeployment(Deployment, FaultTarget):
    """All of iMSG in one process, with a mail server that outlives it."""

    def __init__(self, folder: Path, mailbox: Mailbox, command: Sequence[str]) -> None:
        super().__init__(folder, mailbox.settings, command)
        self.mailbox = mailbox

    def kill_alone(self) -> list[int]:
        """Kill the parent process alone (SIGKILL); return the ids of its descendants."""
        children = descendants(self.process.pid)
        os.kill(self.process.pid, signal.SIGKILL)
        wait(lambda: not self.process.runs)
        return children

    def fill(self) -> Path:
        """Write a file until no byte fits any more on its disk; return it."""
        seen_from_here = Path(f"/proc/{self.process.pid}/root{self.data}")  # the mount is its own
        path = seen_from_here / "ballast"
        with path.open("wb", buffering=0) as file:
            while (free := shutil.disk_usage(seen_from_here).free) > 0:
                try:
                    file.write(b"\0" * min(free, 1 << 20))
                except OSError:
                    break
        return path


@contextmanager
def run_embedded(
    folder: Path, *, disk_mib: int | None = None, command: Sequence[str] = (str(IMSG), "up")
) -> Iterator[EmbeddedDeployment]:
    """Run `imsg up`, or another command, for as long as the context lasts, on a disk of `disk_mib` if that is given."""
    with ExitStack() as stack:
        mailbox = stack.enter_context(Mailbox().running_apart())
        opened = EmbeddedDeployment(folder, mailbox, command)
        if disk_mib is not None:
            opened.data.mkdir()
            opened.run_as([*_with_disk(opened.data, disk_mib), *command])
        stack.callback(opened.close)
        opened.start()
        opened.open_wide()
        yield opened


def _with_disk(folder: Path, mebibytes: int) -> list[str]:
    """Return the start of a command line that mounts a small disk for the command alone."""
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mounting = f'mount -t tmpfs -o size={mebibytes}m,mode=700 tmpfs "$0" && exec "$@"'
    return ["unshare", *users, "--mount", "--", "sh", "-c", mounting, str(folder)]
