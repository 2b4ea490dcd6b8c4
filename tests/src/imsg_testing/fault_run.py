"""The full run of torments: every module a run of pytest of its own, some side by side, and the page at the end.

Most of a torment is waiting for leases and steps to run out, so that several share the machine's time.
"""

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imsg_testing import fault_table

FOLDER = Path("tests/fault")

AT_ONCE = 3

FIRST = ("test_backlog.py", "test_sms.py")
"""Begun first, since they take longest."""

MODULE_WITHIN_S = 45 * 60.0
"""Each test has a bound of its own; this one ends a module that hangs between them."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A module's run."""

    name: str
    passed: bool
    said: str
    took_s: float


def main() -> int:
    """Run everything; return the exit code. The page is written where all of it passed."""
    modules = sorted(FOLDER.glob("test_*.py"), key=lambda path: (path.name not in FIRST, path.name))
    with tempfile.TemporaryDirectory(prefix="imsg-rows-") as rows:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            runs = list(pool.map(lambda module: _run(module, rows), modules))
        failed = [run.name for run in runs if not run.passed]
        if failed:
            print(f"{', '.join(failed)} failed: {fault_table.PAGE} stays as it was", flush=True)  # noqa: T201
            return 1
        fault_table.main(rows)
    print(f"{fault_table.PAGE} is written", flush=True)  # noqa: T201
    return 0


def _run(module: Path, rows: str) -> Ran:
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", str(module)]
    environment = {**os.environ, fault_table.ROWS_VARIABLE: rows}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        try:
            said, _ = child.communicate(timeout=MODULE_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.terminate()
            said, _ = child.communicate()
    ran = Ran(module.name, child.returncode == 0, said, time.monotonic() - began)
    lines = said.strip().splitlines()
    told = f"{ran.name}: {lines[-1] if lines else 'nothing was said'}" if ran.passed else f"{ran.name}:\n{said}"
    print(told, flush=True)  # noqa: T201  progress
    return ran


if __name__ == "__main__":
    sys.exit(main())
