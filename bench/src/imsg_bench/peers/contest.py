"""The same three questions to every contender: what it accepts, what it delivers, what a crash of all of it loses.

Timed: a process of ours hands in numbered messages over 64 connections, each with its next as soon as it has its
answer, for a turn; accepted a second is of that turn, delivered a second from the first arrival to the last, those
included that still waited at its end. A server of ours takes what is delivered and notes the numbers.
Crash: in the middle of such a load everything that belongs to the contender, the servers on which it keeps things
included, is ended by SIGKILL, and started again. Gone is what was accepted and has not arrived once nothing arrived
any more for a while; twice is what arrived more than once. A crash of processes leaves the kernel's page cache alone:
what is not synced to the disk would be lost by a crash of the machine. That is not tried; strace counts instead, in
another short turn, how often anything is synced (fsync, fdatasync), by all processes together, for one message.
Generator, servers and contender share the machine's cores.
"""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imsg_bench.costs import Meter
from imsg_bench.filling import wait_until
from imsg_bench.peers.flood import Plan
from imsg_bench.peers.peer import Endpoint, Peer, program
from imsg_bench.progress import Progress
from imsg_bench.servers import make_folder
from imsg_testing.processes import descendants

CONNECTIONS = 64
WARM_S = 1.0
CRASH_AFTER_S, CRASH_LOAD_S = 2.0, 4.0
TRACE_AFTER_S, TRACED_S = 1.0, 2.0
QUIET_S = 20.0
"""How long nothing arrives until a turn is taken for over."""

PATIENCE_S = 900.0
TURN, CRASH, TRACED = 1_000_000, 2_000_000, 3_000_000
"""Where the numbers of each begin."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found of one contender."""

    name: str
    what: str
    settings: str
    version: str
    accepted: float
    """A second."""
    delivered: float
    cost_us: float
    """Processor time of all its processes for one message, in µs."""
    refused: int
    crash_accepted: int
    gone: int
    twice: int
    recovered_s: float
    """From the start after the crash to the last arrival."""
    syncs: float
    """How often something is synced to the disk, for one message under load: none would survive a power cut."""

    def to_json(self) -> dict[str, Any]:
        """Make what is written to the file."""
        return asdict(self)


class Contest:
    """One contender's turns."""

    def __init__(self, peer: Peer, make_endpoint: Endpoint) -> None:
        self._peer = peer
        self._door = make_endpoint

    def turn(self, seconds: float) -> tuple[float, float, float, int]:
        """Return accepted and delivered a second, processor µs a message, and how many were refused."""
        self._flood(0, WARM_S)
        self._rest(QUIET_S / 4)
        self._peer.counts.reset()
        meter = Meter.begin(**{str(pid): pid for pid in self._peer.pids()})
        flood_result = self._flood(TURN, seconds)
        accepted = self._numbers()
        wait_until(
            lambda: self._peer.counts.count >= len(accepted) or self._is_quiet(QUIET_S), PATIENCE_S, every_s=0.05
        )
        cost = sum(meter.per_unit_us(max(1, len(accepted))).values())
        if not accepted:
            raise RuntimeError(f"{self._peer.NAME} accepted nothing: {flood_result['example']}")
        return len(accepted) / flood_result["seconds"], self._peer.counts.rate, cost, int(flood_result["refused"])

    def crash(self) -> tuple[int, int, int, float]:
        """Return how many were accepted, are gone and arrived twice, and the seconds until the last had arrived."""
        with self._start_flood(CRASH, CRASH_LOAD_S) as process:
            time.sleep(CRASH_AFTER_S)
            self._peer.kill()
            process.communicate(timeout=CRASH_LOAD_S + 60)
        accepted = self._numbers()
        begun = time.monotonic()
        self._peer.start()
        wait_until(
            lambda: self._missing(accepted) == 0 or self._is_quiet(self._peer.MAX_WAIT_S, begun),
            PATIENCE_S,
            every_s=0.5,
        )
        time.sleep(1)  # for a second copy that is just arriving
        arrived = Counter({number: times for number, times in self._peer.count_delivered().items() if number >= CRASH})
        twice = sum(times > 1 for times in arrived.values())
        last = max(self._peer.counts.read()[2], begun)
        return len(accepted), self._missing(accepted), twice, last - begun

    def count_syncs(self) -> float:
        """Return how often something is synced for one message."""
        pids = [process for pid in self._peer.pids() for process in (pid, *descendants(pid))]
        trace = self._peer.folder / "syncs"
        words = ("-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(trace))
        command = [program("strace", "strace"), *words, *(word for pid in pids for word in ("-p", str(pid)))]
        with subprocess.Popen(command) as strace:
            time.sleep(TRACE_AFTER_S)
            self._flood(TRACED, TRACED_S)
            accepted = len(self._numbers())
            strace.send_signal(signal.SIGINT)
        return trace.read_text().count("sync(") / max(1, accepted)

    def _missing(self, accepted: set[int]) -> int:
        return len(accepted - set(self._peer.count_delivered()))

    def _is_quiet(self, seconds: float, since: float = 0.0) -> bool:
        return time.monotonic() - max(self._peer.counts.read()[2], since) > seconds

    def _rest(self, seconds: float) -> None:
        wait_until(lambda: self._is_quiet(seconds), PATIENCE_S)

    @property
    def _out(self) -> Path:
        return self._peer.folder / "accepted"

    def _numbers(self) -> set[int]:
        return {int(line) for line in self._out.read_text().split()}

    def _start_flood(self, first: int, seconds: float) -> "subprocess.Popen[str]":
        make_endpoint = self._door
        path = self._peer.folder / "plan.json"
        Plan(
            make_endpoint.protocol,
            make_endpoint.port,
            make_endpoint.request,
            make_endpoint.accepted,
            seconds,
            CONNECTIONS,
            first,
            str(self._out),
            make_endpoint.mail,
        ).write(path)
        command = [sys.executable, "-m", "imsg_bench.peers.flood", str(path)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _flood(self, first: int, seconds: float) -> dict[str, Any]:
        with self._start_flood(first, seconds) as process:
            output, errors = process.communicate(timeout=seconds + 120)
        if process.returncode != 0:
            raise RuntimeError(f"the load failed: {errors[-800:]}")
        flood_result: dict[str, Any] = json.loads(output)
        return flood_result


def contest(kind: type[Peer], seconds: float, progress: Progress) -> Outcome:
    """Measure one contender by all three questions. Raises MissingServerError where it is not installed."""
    with ExitStack() as stack:
        peer = kind(stack, make_folder(stack))
        version = peer.version()
        progress.show(f"M  {peer.NAME} {version}")
        contest_ = Contest(peer, peer.open())
        accepted, delivered, cost, refused = contest_.turn(seconds)
        progress.show(f"M  {peer.NAME}: accepted {accepted:.0f}/s, delivered {delivered:.0f}/s, refused {refused}")
        crash_accepted, gone, twice, recovered_s = contest_.crash()
        progress.show(f"M  {peer.NAME}: of {crash_accepted} accepted {gone} gone, {twice} twice, {recovered_s:.0f} s")
        syncs = contest_.count_syncs()
        progress.show(f"M  {peer.NAME}: {syncs:.2f} syncs a message")
        return Outcome(
            peer.NAME,
            peer.WHAT,
            peer.SETTINGS,
            version,
            accepted,
            delivered,
            cost,
            refused,
            crash_accepted,
            gone,
            twice,
            recovered_s,
            syncs,
        )
