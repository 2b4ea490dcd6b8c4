"""One service of iMSG as a process."""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from imsg_testing.processes import Process
from imsg_testing.servers import reserve_port
from imsg_testing.waiting import wait

START_TIMEOUT_S = 150.0
"""`imsg up` took 40 s where none of it had been read from the disk before and others kept the processors busy."""

STOP_TIMEOUT_S = 60.0
"""3 s unready, 20 s for what is in flight, a few for goodbyes; and the machine may be busy."""

KEYS = {
    "IMSG_SERVICE_KEY": "a key between services, long enough",
    "IMSG_TOKEN_KEY": "a key that signs tokens, long enough",
    "IMSG_ERASURE_KEY": "a key of tombstones, long enough too",
}


class Service:
    """One service as a process. It can be killed and started again on the same port."""

    def __init__(
        self,
        package: str,
        folder: Path,
        settings: Mapping[str, str],
        python: Path | None = None,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
    ) -> None:
        """Replicas may share a `port` on `host` addresses of their own; several packages share the process."""
        self.port = port or reserve_port(self)
        self.host = host
        self.log = folder / f"{package}-{host}-{self.port}.log"
        self.package = package
        self._environment = environment({**settings, "IMSG_HOST": host, "IMSG_PORT": str(self.port)})
        self._folder = folder
        self.run_with(python or Path(sys.executable))

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://{self.host}:{self.port}"

    def run_with(self, python: Path) -> None:
        """Use another environment's Python, and so its version of the service, for the next start."""
        command = [str(python), "-m", "imsg_web.service", *self.package.split()]
        self.process = Process(command, log=self.log, environment=self._environment, cwd=self._folder)

    def make_replica(self, settings: Mapping[str, str]) -> "Service":
        """Return a replica of it with more settings, on a port of its own; it is not started."""
        return Service(self.package, self._folder, {**self._environment, **settings})

    def start(self) -> None:
        """Start it and return when it is ready."""
        self.process.start()
        wait(self.is_ready, START_TIMEOUT_S, why=self.process.last_lines)

    def stop(self) -> None:
        """Stop it by SIGTERM, and check its exit code."""
        self.process.signal(signal.SIGTERM)
        wait(lambda: not self.process.runs, STOP_TIMEOUT_S, why=self.process.last_lines)
        assert self.process.exit_code == 0, self.process.last_lines()

    def is_ready(self) -> bool:
        """Return whether it is ready."""
        return self._is_healthy("ready")

    def is_alive(self) -> bool:
        """Return whether it answers HTTP, ready or not."""
        return self._is_healthy("live")

    def _is_healthy(self, check: str) -> bool:
        assert self.process.exit_code is None, self.process.last_lines()
        try:
            is_healthy = httpx.get(f"{self.url}/health/{check}", timeout=5).is_success
        except httpx.TransportError:
            return False
        if is_healthy:
            self.process.require_port(self.port)
        return is_healthy


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of this process, with these settings of iMSG and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMSG_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **settings}
