"""The watchdog: the children that it ends, those that it leaves alone, and the signals that it forwards."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imsg_runtime.watchdog import HEARTBEAT

PROGRAM = """
import sys
from imsg_runtime.watchdog import watch
watch(processor_s=1.5, stopped_s=float(sys.argv.pop(1)))

import asyncio, json, os, re, signal, threading, time
from imsg_runtime.heartbeat import Heartbeat

def say(**told):
    os.write(1, json.dumps(told).encode() + b"\\n")  # at once: it may be stopped right after

def spin():
    re.match("(a+)+b", "a" * 60)

def busy(until=None):
    until = time.process_time() + 2.5
    while time.process_time() < until:
        hash("a")

async def main():
    heartbeat = Heartbeat.from_environment(os.environ)
    asked = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)
    async with heartbeat.run():
        await asyncio.sleep(0.1)
        say(pid=os.getpid(), stopped=heartbeat.stopped, left="HEARTBEAT" in os.environ)
        match sys.argv[1]:
            case "spin when asked":
                await asyncio.wait_for(asked.wait(), 60)
                spin()
            case "spin once":
                if not os.path.exists(sys.argv[2]):
                    open(sys.argv[2], "w").close()
                    spin()
            case "work": await asyncio.to_thread(busy)
            case "block": time.sleep(4)
            case "wait": await asyncio.wait_for(asked.wait(), 60)
            case code: os._exit(int(code))
    say(ended="well")

if sys.argv[1] == "load": busy()
else: asyncio.run(main())
"""


class Watched:
    """A watched program, and its output."""

    def __init__(self, *arguments: str, log: Path, stopped_s: float) -> None:
        self._log = log
        with log.open("wb") as file:
            command = [sys.executable, "-c", PROGRAM, str(stopped_s), *arguments]
            self.process = subprocess.Popen(command, stdout=file, stderr=file)  # noqa: S603  a program of this test's

    @property
    def said(self) -> str:
        """Return all it has written."""
        return self._log.read_text()

    def read_told(self) -> list[dict[str, object]]:
        """Return the lines that its children have written."""
        return [json.loads(line) for line in self.said.splitlines() if line.startswith("{")]

    def children(self, count: int = 1, within_s: float = 60.0) -> list[int]:
        """Wait for so many children, one after the other."""
        _wait(lambda: sum("pid" in process for process in self.read_told()) >= count, within_s, lambda: self.said)
        return [int(str(process["pid"])) for process in self.read_told() if "pid" in process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    started: list[Watched] = []

    def start(*arguments: str, stopped_s: float = 60.0) -> Watched:
        started.append(Watched(*arguments, log=tmp_path / f"{len(started)}.log", stopped_s=stopped_s))
        return started[-1]

    yield start
    for process in started:
        process.process.kill()
        process.process.wait(60)


Start = Callable[..., Watched]


def test_a_child_that_spins_logs_where_and_is_replaced(start: Start, tmp_path: Path) -> None:
    watched = start("spin once", str(tmp_path / "once"))

    first, second = watched.children(2)

    assert watched.process.wait(60) == 0
    assert f"imsg: process {first} has used" in watched.said
    assert "in spin\n" in watched.said, "the line of the regular expression"
    assert first != second
    assert watched.read_told()[-1] == {"ended": "well"}
    assert watched.read_told()[1]["stopped"] == [], "it was not stopped"


def test_a_child_that_spins_and_is_asked_to_end_is_not_replaced(start: Start) -> None:
    watched = start("spin when asked")
    (child,) = watched.children()

    watched.process.terminate()

    assert watched.process.wait(60) == 128 + signal.SIGKILL
    assert not _lives(child)


@pytest.mark.long
def test_a_stopped_child_is_replaced_by_one_that_learns_of_it(start: Start) -> None:
    watched = start("wait", stopped_s=3.0)
    (child,) = watched.children()
    os.kill(child, signal.SIGSTOP)

    _, other = watched.children(2)

    assert f"imsg: process {child} was stopped" in watched.said
    first = watched.read_told()[-1]["stopped"]
    assert isinstance(first, list)
    assert len(first) == 1
    os.kill(other, signal.SIGSTOP)
    watched.children(3)
    stopped = watched.read_told()[-1]["stopped"]
    assert isinstance(stopped, list)
    assert stopped[0] == first[0]
    assert len(set(stopped)) == 2


@pytest.mark.long
def test_a_child_that_was_stopped_together_with_its_parent_goes_on(start: Start) -> None:
    watched = start("wait", stopped_s=3.0)
    (child,) = watched.children()
    for pid in (watched.process.pid, child):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)  # longer than a child alone may stand
    for pid in (child, watched.process.pid):
        os.kill(pid, signal.SIGCONT)

    time.sleep(2)  # and its parent looks again
    assert watched.process.poll() is None, "no signal came of it"
    watched.process.terminate()

    assert watched.process.wait(60) == 0
    assert watched.read_told()[-1] == {"ended": "well"}
    assert "imsg:" not in watched.said


@pytest.mark.parametrize("what", ["work", "block", "load"])
def test_work_beside_the_loop_a_wait_and_a_long_start_are_no_spinning(start: Start, what: str) -> None:
    watched = start(what, stopped_s=3.0)

    assert watched.process.wait(60) == 0
    assert "imsg:" not in watched.said


@pytest.mark.parametrize("code", [0, 2, 7])
def test_the_exit_code_is_the_childs(start: Start, code: int) -> None:
    assert start(str(code)).process.wait(60) == code


def test_a_signal_reaches_the_child_and_its_good_order_the_parent(start: Start) -> None:
    watched = start("wait")
    watched.children()

    watched.process.terminate()

    assert watched.process.wait(60) == 0
    assert watched.read_told()[-1] == {"ended": "well"}


def test_a_child_that_is_stopped_ends_in_good_order_when_asked(start: Start) -> None:
    watched = start("wait")
    (child,) = watched.children()
    os.kill(child, signal.SIGSTOP)

    watched.process.terminate()

    assert watched.process.wait(60) == 0
    assert watched.read_told()[-1] == {"ended": "well"}


def test_a_child_that_a_signal_killed_is_not_replaced(start: Start) -> None:
    watched = start("wait")
    (child,) = watched.children()

    os.kill(child, signal.SIGKILL)

    assert watched.process.wait(60) == 128 + signal.SIGKILL
    assert len(watched.children()) == 1


def test_the_child_ends_with_its_parent_however_that_ends(start: Start) -> None:
    watched = start("wait")
    (child,) = watched.children()

    watched.process.kill()
    watched.process.wait(60)

    _wait(lambda: not _lives(child), 60)


def test_the_environment_for_the_child_is_removed_before_others_inherit_it(start: Start) -> None:
    assert start("0").children()
    watched = start("wait")
    watched.children()
    assert watched.read_told()[0]["left"] is False


def test_a_heartbeat_left_to_another_process_is_not_ours(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HEARTBEAT, f"{os.getpid()} 9 name")

    watched = start("0")

    assert watched.process.wait(60) == 0
    assert watched.children() != [watched.process.pid], "it has a parent of its own"


def test_the_parent_stays_small(start: Start) -> None:
    watched = start("wait")
    watched.children()

    assert _own_kib(watched.process.pid) < 10 * 1024


def _own_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(happened: Callable[[], bool], within_s: float, why: Callable[[], str] = str) -> None:
    until = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < until, why()
        time.sleep(0.05)
