"""What is measured: something that takes numbered messages and delivers them to a server of ours, and can be killed."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from imsg_bench.counts import Counts
from imsg_bench.filling import wait_until
from imsg_bench.peers.flood import PLACE
from imsg_testing.processes import Process
from imsg_testing.servers import accepts, reserve_port
from imsg_testing.servers.server import MissingServerError, find_program

ROOT = Path(__file__).parents[4]
START_TIMEOUT_S = 60.0

ADDRESS = f"probe-{PLACE}@example.com"
"""Our mail server notes each recipient of this form."""

PHONE = f"86138{PLACE}"
SUBJECT, TEXT = "Your order", "Your order 20261125-0042 is on its way and should arrive tomorrow."
MAIL = f"From: flood@example.com\r\nTo: {ADDRESS}\r\nSubject: {SUBJECT}\r\n\r\n{TEXT}\r\n"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The port that accepts messages, and the form of a request."""

    protocol: str
    port: int
    request: str
    accepted: str
    mail: str = ""


class Peer:
    """One contender. `open` once, then `kill` and `start` as often as wanted."""

    NAME: str
    WHAT: str
    """What it is, in one line."""
    SETTINGS: str
    """How it is set, where that decides a figure."""
    MAX_WAIT_S = 30.0
    """After a crash: how long nothing arrives until nothing comes any more."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self._numbers = 0
        self.processes: list[tuple[Process, int | None]] = []
        """What is killed and started, in the order of its start, each with the port by which it is known to run."""

    def version(self) -> str:
        """Return the version. Raises MissingServerError where it is not installed, with its install command."""
        raise NotImplementedError

    def open(self) -> Endpoint:
        """Start everything for the first time."""
        raise NotImplementedError

    def kill(self) -> None:
        """End everything as a crash does (SIGKILL), the one that accepts and the one that keeps at once."""
        for process, _ in self.processes:
            process.kill()

    def start(self) -> None:
        """Start everything again, with what it has kept."""
        for process, port in self.processes:
            self._run(process, port)

    def pids(self) -> list[int]:
        """List the processes that are its own."""
        return [process.pid for process, _ in self.processes]

    def count_delivered(self) -> Counter[int]:
        """Count how often each number arrived."""
        raise NotImplementedError

    @property
    def counts(self) -> Counts:
        """How many arrived, and when the first and the last."""
        raise NotImplementedError

    # for those who write one

    def add(
        self,
        command: Sequence[str],
        port: int | None = None,
        variables: Mapping[str, str] = {},
        cwd: Path | None = None,
    ) -> Process:
        """Start a program that is killed and started with the peer."""
        self._numbers += 1
        log = self.folder / f"{self._numbers}-{Path(command[0]).name}.log"
        process = Process(command, log=log, environment={**os.environ, **variables}, cwd=cwd or self.folder)
        self.stack.callback(process.close)
        self._run(process, port)
        self.processes.append((process, port))
        return process

    def beside(self, command: Sequence[str], port: int) -> None:
        """Start a program that is the outside world, and stays."""
        self._numbers += 1
        process = Process(command, log=self.folder / f"{self._numbers}-outside.log", cwd=self.folder)
        self.stack.callback(process.close)
        self._run(process, port)

    def port(self) -> int:
        """Reserve a port."""
        return reserve_port(self)

    @staticmethod
    def _run(process: Process, port: int | None) -> None:
        process.start()

        def serves() -> bool:
            assert process.runs, process.last_lines()  # noqa: S101  why it is waited for in vain
            return port is None or accepts(port)

        wait_until(serves, START_TIMEOUT_S)


class MailPeer(Peer):
    """A contender that delivers to the mail server of ours."""

    def sink(self, python: str) -> int:
        """Start the mail server; return its port."""
        port = self.port()
        (self.folder / "probes").touch()
        self._counts = Counts(self.folder / "mails")
        self.beside([python, "-m", "imsg_bench.sink", str(port), str(self.folder)], port)
        return port

    @property
    def counts(self) -> Counts:
        """Of the mail server."""
        return self._counts

    def count_delivered(self) -> Counter[int]:
        """Return the recipients of the mail server's mails."""
        return read_numbers(self.folder / "probes", lambda word: word.removeprefix("probe-").partition("@")[0])


class PhonePeer(Peer):
    """A contender that delivers to the operator of ours, over SMPP or HTTP."""

    def operator(self, python: str, protocol: str) -> int:
        """Start the operator; return its port."""
        port = self.port()
        (self.folder / "numbers").touch()
        self._counts = Counts(self.folder / "texts")
        command = [python, "-m", "imsg_bench.peers.operator", protocol, str(port), str(self.folder)]
        self.beside(command, port)
        return port

    @property
    def counts(self) -> Counts:
        """Of the operator."""
        return self._counts

    def count_delivered(self) -> Counter[int]:
        """Return the recipients of the operator's messages."""
        return read_numbers(self.folder / "numbers", lambda word: word.lstrip("+").removeprefix("86138"))


def read_numbers(path: Path, number: Callable[[str], str]) -> Counter[int]:
    """Count the numbers that are written in a file, the first word of each whole line."""
    lines = path.read_text().rpartition("\n")[0].splitlines()
    return Counter(int(number(line.split()[0])) for line in lines)


def program(name: str, package: str) -> str:
    """Find a program. Raises MissingServerError."""
    path = find_program(name)
    if path is None:
        raise MissingServerError(f"{name} is not installed: apt-get install {package}")
    return str(path)
