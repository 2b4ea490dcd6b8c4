"""`imsg up` as a newcomer runs it, on a folder and a port of its own, for as long as a context lasts."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from imsg_testing.api import Api
from imsg_testing.command_line import IMSG
from imsg_testing.processes import Process
from imsg_testing.servers import reserve_port
from imsg_testing.service import START_TIMEOUT_S, environment
from imsg_testing.waiting import wait


class EmbeddedDeployment(Api):
    """All of iMSG in one process, with its own Valkey."""

    def __init__(self, folder: Path, settings: Mapping[str, str], *, with_console: bool, program: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = reserve_port(self)
        self.log = folder / "output.log"
        given = {"IMSG_PORT": str(self.port), "IMSG_DATA_DIR": str(folder / "data"), **settings}
        command = [str(program), "up", *([] if with_console else ["--no-console"])]
        self.process = Process(command, log=self.log, environment=environment(given), cwd=folder)
        super().__init__(self.url)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Start it; return how many seconds it took until it was ready."""
        begun = time.monotonic()
        self.process.start()
        wait(self.is_ready, START_TIMEOUT_S, every_s=0.01, why=self.process.last_lines)
        return time.monotonic() - begun

    def is_ready(self) -> bool:
        """Return whether it is ready."""
        assert self.process.runs, self.process.last_lines()  # noqa: S101  why it is waited for in vain
        try:
            answers = httpx.get(f"{self.url}/health/ready", timeout=5).is_success
        except httpx.TransportError:
            return False
        if answers:
            self.process.require_port(self.port)
        return answers


@contextmanager
def prepare_embedded(
    folder: Path, settings: Mapping[str, str], *, with_console: bool = False, program: Path = IMSG
) -> Iterator[EmbeddedDeployment]:
    """Make it; the caller starts it. It ends with the context."""
    deployment = EmbeddedDeployment(folder, settings, with_console=with_console, program=program)
    try:
        yield deployment
    finally:
        deployment.client.close()
        deployment.process.close()
