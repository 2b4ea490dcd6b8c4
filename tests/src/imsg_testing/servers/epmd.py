"""epmd, the name server of Erlang, and a cookie file. Nodes that share both form a cluster."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from imsg_testing import scratch
from imsg_testing.processes import Process
from imsg_testing.servers.ports import accepts, reserve_port
from imsg_testing.servers.server import START_TIMEOUT_S, MissingServerError, find_program


class Epmd:
    """One epmd on the loopback, for one node or the nodes of one cluster."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imsg-", dir=scratch.folder()))
        self.port = 0
        self._process: Process | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process has to know of it."""
        return {**self.__dict__, "_process": None}

    def start(self) -> None:
        """Start it where it does not run yet, and return when it answers."""
        if self._process is not None and self._process.runs:
            return
        program = find_program("epmd")
        if program is None:
            raise MissingServerError("RabbitMQ is not installed: apt-get install rabbitmq-server")
        self.close_process()
        self.port = reserve_port(self)
        command = [str(program), "-address", "127.0.0.1", "-port", str(self.port)]
        self._process = Process(command, log=self.folder / "log")
        self._process.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not accepts(self.port):
            if time.monotonic() > deadline:
                raise RuntimeError("epmd did not answer")
            time.sleep(0.01)

    def close(self) -> None:
        """End it, and remove the cookie."""
        self.close_process()
        shutil.rmtree(self.folder, ignore_errors=True)

    def close_process(self) -> None:
        """End the process alone."""
        if self._process is not None:
            self._process.close()
            self._process = None
