"""Stop the processes of a pytest at random for up to 2.5 s each, as a machine does that stands still.

    python -m imsg_testing.stalls [--seed N] PYTEST_ARGUMENTS…

Only descendants of the pytest that this program starts are stopped: its workers, servers and services.
"""

import argparse
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from imsg_testing.processes import descendants

LONGEST_S = 2.5
"""How long a process is stopped at the most."""

STOPPED_AT_ONCE = 3

BETWEEN_S = 1.0
"""How long, at the most, until the next one is stopped in its place."""

RUN_WITHIN_S = 3_600.0
"""Ends a run that hangs."""


class Stalls:
    """Stops processes below one, one after the other, until it is told to end."""

    def __init__(self, root: int, seed: str) -> None:
        self._root = root
        self._random = random.Random(seed)  # noqa: S311  chances, no secrets
        self._ended = threading.Event()
        self.counted = Counter[str]()
        """How often processes of a name were stopped."""

    def run(self) -> None:
        """Stop and resume until the end."""
        while not self._ended.wait(self._random.uniform(0, BETWEEN_S)):
            if below := sorted(descendants(self._root)):
                self._stall(self._random.choice(below))

    def end(self) -> None:
        """Resume what is stopped, and stop nothing more."""
        self._ended.set()

    def _stall(self, process: int) -> None:
        with suppress(ProcessLookupError):  # it ended meanwhile; another takes its handle as little as its number
            handle = os.pidfd_open(process)
            try:
                if process not in descendants(self._root):
                    return
                name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8").strip()
                signal.pidfd_send_signal(handle, signal.SIGSTOP)
                try:
                    self._ended.wait(self._random.uniform(0, LONGEST_S))
                finally:
                    signal.pidfd_send_signal(handle, signal.SIGCONT)
                self.counted[name] += 1
            finally:
                os.close(handle)


def main(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments while its processes are stopped; return its exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--seed", default=secrets.token_hex(4), help="repeats the chances of an earlier run")
    options, pytest_arguments = parser.parse_known_args(arguments)
    print(f"stalls: --seed {options.seed}", flush=True)  # noqa: T201
    command = [sys.executable, "-m", "pytest", *pytest_arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:
        stalls = [Stalls(child.pid, f"{options.seed}-{number}") for number in range(STOPPED_AT_ONCE)]
        threads = [threading.Thread(target=each.run) for each in stalls]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        try:
            child.wait(RUN_WITHIN_S)
        except BaseException:
            child.send_signal(signal.SIGINT)
            raise
        finally:
            for each in stalls:
                each.end()
            for thread in threads:
                thread.join()
    counted = sum((each.counted for each in stalls), Counter[str]())
    stopped = ", ".join(f"{count} x {name}" for name, count in counted.most_common())
    print(f"stalls: {counted.total()} in {time.monotonic() - began:.0f} s: {stopped}", flush=True)  # noqa: T201
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
