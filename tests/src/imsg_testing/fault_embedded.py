"""`imsg up` tormented: its own mail server outside, its parent killed alone, its disk filled."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from imsg_testing.api import wait
from imsg_testing.fault_mail import Mailbox
from imsg_testing.fault_world import READY_WITHIN_S
from imsg_testing.processes import descendants
from imsg_testing.stack import Stack


class Embedded(Stack):
    """All of iMSG in one process, with a mail server that outlives it."""

    def __init__(self, folder: Path, mailbox: Mailbox) -> None:
        super().__init__(folder, mailbox.settings)
        self.mailbox = mailbox

    @property
    def urls(self) -> Sequence[str]:
        """Where it listens."""
        return [self.url]

    def is_whole(self) -> bool:
        """Tell whether it runs and all of it is ready."""
        try:
            return self.process.runs and httpx.get(f"{self.url}/health/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    def wait_until_whole(self) -> None:
        """Wait until all of it is ready."""
        wait(self.is_whole, READY_WITHIN_S, every_s=0.1, why=lambda: f"not whole again\n{self.said[-4_000:]}")

    def kill_alone(self) -> list[int]:
        """Kill the parent and nobody else (SIGKILL); return who descended from it."""
        children = descendants(self.process.pid)
        os.kill(self.process.pid, signal.SIGKILL)
        wait(lambda: not self.process.runs)
        return children


@contextmanager
def embedded(folder: Path) -> Iterator[Embedded]:
    """Run `imsg up` for as long as the context lasts."""
    with ExitStack() as stack:
        mailbox = stack.enter_context(Mailbox().running())
        opened = Embedded(folder, mailbox)
        stack.callback(opened.close)
        opened.start()
        opened.open_wide()
        yield opened


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of that size in a folder. Raises CalledProcessError where nobody may mount here."""
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        check=True,
        capture_output=True,
        timeout=30,
    )
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True, timeout=30)


def fill(folder: Path) -> Path:
    """Write a file until no byte fits any more; return it."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        while (free := shutil.disk_usage(folder).free) > 0:
            try:
                file.write(b"\0" * min(free, 1 << 20))
            except OSError:
                break
    return path
