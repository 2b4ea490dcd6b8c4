"""All of iMSG as a newcomer starts it: `imsg up` as a process, and what a story asks of it."""

import base64
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from imsg_testing.api import Api
from imsg_testing.inbox import read_inbox
from imsg_testing.processes import Process
from imsg_testing.servers import reserve_port
from imsg_testing.waiting import wait

IMSG = Path(sys.executable).parent / "imsg"

START_TIMEOUT_S = 60.0

VERB_TIMEOUT_S = 100.0
"""How long a verb may take. One that loads all of iMSG needs 2 s of a processor, and took 40 s where none of it had
been read from the disk before and others kept that busy."""


class Deployment(Api):
    """`imsg up` on a data folder and a port of its own; can be killed and started again."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] = MappingProxyType({}),
        command: Sequence[str] = (str(IMSG), "up"),
    ) -> None:
        self.folder = folder
        self.port = reserve_port(self)
        self.output = folder / "output.log"
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self.run_as(command)
        super().__init__(self.url)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        """What `imsg` is run with: nothing of this machine's own settings."""
        return environment(
            {
                "IMSG_PORT": str(self.port),
                "IMSG_DATA_DIR": str(self.data),
                "IMSG_GATEWAY_URL": self.url,
                "XDG_CONFIG_HOME": str(self.folder / "config"),
                **self._settings,
            }
        )

    @property
    def process(self) -> Process:
        """The process."""
        return self._process

    @property
    def logs(self) -> str:
        """Its output so far, errors included."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def run_as(self, command: Sequence[str]) -> None:
        """Use another command for the next start."""
        self._process = Process(command, log=self.output, environment=self.environment, cwd=self.folder)

    def start(self) -> None:
        """Start it and return when it has printed its addresses."""
        before = self.logs.count("iMSG runs at")
        self._process.start()
        wait(lambda: self.logs.count("iMSG runs at") > before or not self._process.runs, START_TIMEOUT_S)
        assert self._process.runs, f"imsg up ended with {self._process.exit_code}: {self.logs}"

    def is_ready(self) -> bool:
        """Return whether it runs and all of it is ready."""
        return self.process.runs and super().is_ready()

    def require_quiet(self) -> None:
        """Fail where something was left behind: an error that nobody read, work that nobody waits for."""
        left = [line for line in self.logs.splitlines() if any(sign in line for sign in LEFT_BEHIND)]
        assert left == [], "\n".join(left[:20])

    def close(self) -> None:
        """End it, however it stands."""
        self.client.close()
        self._process.close()


LEFT_BEHIND = (
    "exception was never retrieved",
    "Cannot operate on a closed database",
    "Task was destroyed but it is pending",
    "was never awaited",
    "Event loop is closed",
    "deleted before being closed",
    "Exception closing connection",
    "Exception terminating connection",
    "Exception during reset",
)
"""What asyncio, sqlite3, aiosqlite and SQLAlchemy say of it."""

LONG_VARIABLES = MappingProxyType({"IMSG_SMS__ACCOUNTS__ALIYUN__VARIABLE_CHARACTERS": "500"})
"""Settings of an SMS account whose template takes more than the 35 characters that a variable usually has."""


@contextmanager
def running(folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Deployment]:
    """Run `imsg up` for as long as the context lasts."""
    deployment = Deployment(folder, settings)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.close()
    deployment.require_quiet()


class Provider:
    """The sandbox as a process of its own: it outlives whoever sends to it, and plays what its settings name."""

    def __init__(self, folder: Path, given: Mapping[str, str] = MappingProxyType({})) -> None:
        self.port, self.smtp_port = reserve_port(self), reserve_port(self)
        settings = {"IMSG_PORT": str(self.port), "IMSG_SANDBOX__SMTP_PORT": str(self.smtp_port), **given}
        command = [sys.executable, "-m", "imsg_web.service", "imsg_sandbox"]
        self._process = Process(
            command, log=folder / "provider.log", environment=environment(settings), cwd=folder, ends_on=signal.SIGKILL
        )

    @property
    def settings(self) -> dict[str, str]:
        """What makes a sender send to it."""
        server = {"HOST": "127.0.0.1", "PORT": str(self.smtp_port), "SECURITY": "none", "SENDER": "imsg@example.com"}
        return {f"IMSG_SMTP__{name}": value for name, value in server.items()}

    def start(self) -> None:
        """Start it and return when it answers."""
        self._process.start()
        wait(self._answers, START_TIMEOUT_S, why=self._process.last_lines)

    def kill(self) -> None:
        """End it at once; it may be started again."""
        self._process.kill()

    def close(self) -> None:
        """End it."""
        self._process.close()

    def inbox(self) -> list[dict[str, Any]]:
        """Return what it has received."""
        return read_inbox(self._get)

    def _get(self, path: str, **params: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.port}{path}", params=params, timeout=30).json()
        return answer

    def _answers(self) -> bool:
        try:
            answers = httpx.get(f"http://127.0.0.1:{self.port}/health/ready").is_success
        except httpx.TransportError:
            return False
        if answers:
            self._process.require_port(self.port)
        return answers


@contextmanager
def provider(folder: Path, given: Mapping[str, str] = MappingProxyType({})) -> Iterator[Provider]:
    """Run a sandbox apart for as long as the context lasts."""
    opened = Provider(folder, given)
    try:
        opened.start()
        yield opened
    finally:
        opened.close()


@dataclass(frozen=True, slots=True)
class Crash:
    """A list that was being sent when the process was killed (SIGKILL) and started again."""

    deployment: Deployment
    provider: Provider
    request: str
    everybody: tuple[str, ...]
    arrived_before: int

    @property
    def recipients(self) -> int:
        """How many there are."""
        return len(self.everybody)


@contextmanager
def crash_and_restart(folder: Path, recipients: int = 2_000) -> Iterator[Crash]:
    """Send a list, kill everything in the middle of it, start again."""
    everybody = tuple(f"reader{number}@example.com" for number in range(recipients))
    with provider(folder) as sandbox, running(folder, sandbox.settings) as deployment:
        accepted = deployment.send(everybody)
        assert accepted["count"] == recipients, accepted
        wait(lambda: len(sandbox.inbox()) > recipients // 5, every_s=0.05)
        os.kill(deployment.process.pid, signal.SIGKILL)
        wait(lambda: not deployment.process.runs)
        arrived = len(sandbox.inbox())
        deployment.start()
        yield Crash(deployment, sandbox, accepted["id"], everybody, arrived)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process' environment without any setting of iMSG but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMSG_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **settings}


def make_attachment(name: str, content: bytes) -> dict[str, str]:
    """Make an attachment as the API takes it."""
    return {"filename": name, "file": base64.b64encode(content).decode()}


def find_pasted(said: str) -> str:
    """Return the lines that `imsg up` offers for pasting."""
    lines = re.findall(r"^(?:TOKEN=|(?:sleep 1; )?curl ).*$", said, re.MULTILINE)
    return "\n".join(lines)
