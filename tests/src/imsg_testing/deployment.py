"""All of iMSG as a newcomer starts it: `imsg up` as a process, and what a story asks of it."""

import base64
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from imsg_testing.api import Api, PatientApi
from imsg_testing.command_line import IMSG, VERB_TIMEOUT_S, Ended, run_imsg, run_imsg_apart
from imsg_testing.processes import Process
from imsg_testing.sandbox_process import SandboxProcess, run_sandbox
from imsg_testing.servers import reserve_port
from imsg_testing.service import START_TIMEOUT_S, environment
from imsg_testing.waiting import wait


def run_up(env: Mapping[str, str], cwd: Path) -> Ended:
    """Run `imsg up` where it can't start, and ends by itself."""
    return subprocess.run(
        [str(IMSG), "up"], env=env, cwd=cwd, capture_output=True, text=True, timeout=VERB_TIMEOUT_S, check=False
    )


class Deployment(Api):
    """`imsg up` with its own data folder and port. It can be killed and started again."""

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
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    @property
    def zone(self) -> str:
        """The time zone of its quotas and days."""
        return self._settings.get("IMSG_TIMEZONE", "Asia/Shanghai")

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
        self._process = Process(
            command, log=self.output, environment={**self.environment, "LC_ALL": "C.UTF-8"}, cwd=self.folder
        )

    def start(self) -> None:
        """Start it and return when it has printed its addresses."""
        before = self.logs.count("iMSG runs at")
        self._process.start()
        wait(lambda: self.logs.count("iMSG runs at") > before or not self._process.runs, START_TIMEOUT_S)
        assert self._process.runs, f"imsg up ended with {self._process.exit_code}: {self.logs}"

    def is_ready(self) -> bool:
        """Return whether it runs and all of it is ready."""
        return self.process.runs and super().is_ready()

    def run(self, *words: str, given: str = "", **settings: str) -> Ended:
        """Run a verb of the command line, which reads `given`, with these settings changed."""
        env = {**self.environment, "LANG": "C.UTF-8", **settings}
        return run_imsg(*words, env=env, cwd=self.folder, given=given)

    def run_apart(self, *words: str, given: str = "", **settings: str) -> Ended:
        """Run a verb as `run` does, in a process of its own: one that runs services, or that is the entry point."""
        env = {**self.environment, "LANG": "C.UTF-8", **settings}
        return run_imsg_apart(*words, env=env, cwd=self.folder, given=given)

    def require_quiet(self) -> None:
        """Raise AssertionError if the log shows an unretrieved exception or an unawaited task."""
        left = [line for line in self.logs.splitlines() if any(sign in line for sign in LEFT_BEHIND)]
        assert left == [], "\n".join(left[:20])

    def close(self) -> None:
        """End it in any state."""
        self.client.close()
        self._process.close()


class KilledDeployment(Deployment, PatientApi):
    """`imsg up` that is killed and recovers while it is asked."""


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
    """Run `imsg up` for as long as the context lasts; accounts may be set up at providers that this machine plays."""
    with _starting(Deployment(folder, {"IMSG_PROVIDER_NETWORKS": "127.0.0.0/8", **settings})) as deployment:
        yield deployment


@contextmanager
def _starting(deployment: Deployment) -> Iterator[Deployment]:
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.close()
    deployment.require_quiet()


@dataclass(frozen=True, slots=True)
class Crash:
    """A list that was being sent when the process was killed (SIGKILL) and started again."""

    deployment: Deployment
    sandbox: SandboxProcess
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
    with run_sandbox(folder) as sandbox, _starting(KilledDeployment(folder, sandbox.settings)) as deployment:
        # So that the list lasts longer than a busy machine stands still.
        sandbox.order("smtp", "latency", None, ms=200)
        accepted = deployment.send(everybody)
        assert accepted["count"] == recipients, accepted
        wait(lambda: len(sandbox.inbox()) > recipients // 20, every_s=0.05)
        os.kill(deployment.process.pid, signal.SIGKILL)
        wait(lambda: not deployment.process.runs)
        sandbox.order("smtp", "latency", 0)
        arrived = len(sandbox.inbox())
        deployment.start()
        yield Crash(deployment, sandbox, accepted["id"], everybody, arrived)


def make_attachment(name: str, content: bytes) -> dict[str, str]:
    """Return an attachment in the API's form."""
    return {"filename": name, "file": base64.b64encode(content).decode()}


def paste(lines: str) -> list[dict[str, Any]]:
    """Paste lines into a shell, and return the answers it prints; what only asks is asked until there is a message."""
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input="\n".join(
            _ask_on(line) if "curl -w" in line and " -d " not in line else line for line in lines.splitlines()
        ),
        capture_output=True,
        text=True,
        timeout=VERB_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _ask_on(line: str) -> str:
    return (
        f"for _ in $(seq 120); do said=$({line}); "
        "case $said in *'\"messages\":[]'*) sleep 0.5 ;; *) break ;; esac; done; printf '%s\\n' \"$said\""
    )


def find_pasted(said: str) -> str:
    """Return the lines that `imsg up` offers for pasting."""
    lines = re.findall(r"^(?:TOKEN=|KEY=|(?:sleep 1; )?curl ).*$", said, re.MULTILINE)
    return "\n".join(lines)
