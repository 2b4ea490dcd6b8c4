"""`imsg up` for fault tests: its own mail server outside, its parent killed alone, its disk filled."""

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from imsg_testing.api import wait
from imsg_testing.deployment import IMSG, Deployment
from imsg_testing.fault_deployment import READY_WITHIN_S
from imsg_testing.fault_mail import Mailbox
from imsg_testing.processes import Process, descendants


class EmbeddedDeployment(Deployment):
    """All of iMSG in one process, with a mail server that outlives it."""

    def __init__(
        self, folder: Path, mailbox: Mailbox, disk_mib: int | None = None, command: Sequence[str] | None = None
    ) -> None:
        super().__init__(folder, mailbox.settings)
        self.mailbox = mailbox
        if command is not None:
            self._process = Process(command, log=self.output, environment=self.environment, cwd=folder)
        if disk_mib is not None:
            self.data.mkdir()
            command = [*_with_a_disk(self.data, disk_mib), str(IMSG), "up"]
            self._process = Process(command, log=self.output, environment=self.environment, cwd=folder)

    @property
    def urls(self) -> Sequence[str]:
        """Where it listens."""
        return [self.url]

    def is_ready(self) -> bool:
        """Tell whether it runs and all of it is ready."""
        try:
            return self.process.runs and httpx.get(f"{self.url}/health/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        """Wait until all of it is ready."""
        wait(self.is_ready, READY_WITHIN_S, every_s=0.1, why=lambda: f"not ready again\n{self.said[-4_000:]}")

    def kill_alone(self) -> list[int]:
        """Kill the parent and nobody else (SIGKILL); return who descended from it."""
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
    folder: Path, *, disk_mib: int | None = None, command: Sequence[str] | None = None
) -> Iterator[EmbeddedDeployment]:
    """Run `imsg up`, or another command, for as long as the context lasts; where wanted with a small disk."""
    with ExitStack() as stack:
        mailbox = stack.enter_context(Mailbox().running_apart())
        opened = EmbeddedDeployment(folder, mailbox, disk_mib, command)
        stack.callback(opened.close)
        opened.start()
        opened.open_wide()
        yield opened


def _with_a_disk(folder: Path, mebibytes: int) -> list[str]:
    """Begin a command line that mounts a small disk for the command alone; without root in a user namespace."""
    users = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mounting = f'mount -t tmpfs -o size={mebibytes}m,mode=700 tmpfs "$0" && exec "$@"'
    return ["unshare", *users, "--mount", "--", "sh", "-c", mounting, str(folder)]
