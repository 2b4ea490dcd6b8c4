"""A server of the tests: start, stop, crash, freeze, and start again with the same data."""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self

from imsg_testing import scratch
from imsg_testing.processes import Process

START_TIMEOUT_S = 60.0
"""How long a server may take until it answers; RabbitMQ needs 5 s on an idle machine."""


class MissingServerError(RuntimeError):
    """A server that the tests need is not installed. The message names the package."""


class Startable(Protocol):
    """Something that runs for as long as a context lasts."""

    def start(self) -> None:
        """Start it and return when it answers."""

    def close(self) -> None:
        """End it for good and remove its data."""

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.close()


class Server(Startable):
    """A server that can be killed and started again on the same port with the same data."""

    _port = 0
    """Where clients find it, once it was prepared."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imsg-", dir=scratch.folder()))
        self._process: Process | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process has to know to use it; it runs, and ends, in the process that started it."""
        return {**self.__dict__, "_process": None}

    @property
    def url(self) -> str:
        """Where clients find it; the same for its whole life."""
        raise NotImplementedError

    @property
    def process(self) -> Process:
        """The process it runs in. Raises RuntimeError before the first start."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} was not started")
        return self._process

    def start(self) -> None:
        """Start it and return when it answers."""
        if self._process is None:
            self._process = self._prepare()
        self._process.start()
        self._wait_until_it_answers()
        self._process.require_port(self._port)

    def stop(self) -> None:
        """Shut it down in good order."""
        self.process.end()

    def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        self.process.kill()

    def restart(self) -> None:
        """Kill it if it still runs, and start it again on the same port with the same data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open, and it answers nothing."""
        self.process.pause()

    def resume(self) -> None:
        """Resume the process after a pause."""
        self.process.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze it for as long as the context lasts."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def close(self) -> None:
        """End it for good and remove its data."""
        if self._process is not None:
            self._process.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare(self) -> Process:
        """Reserve ports, write the configuration, and return the process, not started yet."""
        raise NotImplementedError

    def _answers(self) -> bool:
        """Return whether it serves clients."""
        raise NotImplementedError

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.process.runs:
                raise RuntimeError(f"{type(self).__name__} ended at its start:\n{self.process.last_lines()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{type(self).__name__} did not answer:\n{self.process.last_lines()}")
            time.sleep(0.02)


def find_program(name: str) -> Path | None:
    """Return the path of a program, also of a system program; None where it is not installed."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    return Path(path) if path else None
