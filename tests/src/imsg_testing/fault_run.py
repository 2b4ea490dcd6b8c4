"""Run every fault test in its own pytest, some in parallel, and write the page.

Most of a fault test is waiting for leases and steps to run out, so that several share the machine's time.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imsg_testing import fault_table, scratch

FOLDER = Path("tests/fault")

AT_ONCE = 6

FIRST = ("test_sms.py", "test_backlog.py", "test_providers.py")
"""Begun first and in this order, since they take longest."""

APART = ("test_providers.py",)
"""Modules whose tests wait for minutes: each of their tests is a run."""

RUN_WITHIN_S = 45 * 60.0
"""Ends a run that hangs between tests; each test has its own timeout."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that is over."""

    name: str
    passed: bool
    said: str
    took_s: float


def main(names: Sequence[str], rows: str) -> int:
    """Run these, by default everything; return the exit code. The page is written where all of it passed."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = list(pool.map(lambda name: _run(name, rows), names or _names()))
    failed = [run.name for run in runs if not run.passed]
    if failed:
        print(f"{', '.join(failed)} failed: {fault_table.PAGE} stays as it was", flush=True)  # noqa: T201
        return 1
    fault_table.main(rows)
    print(f"{fault_table.PAGE} is written", flush=True)  # noqa: T201
    return 0


def _names() -> list[str]:
    """Return the runs: modules, and single tests of the slow modules."""
    first = [FOLDER / name for name in FIRST]
    modules = [*first, *sorted(set(FOLDER.glob("test_*.py")) - set(first))]
    return [name for module in modules for name in (_tests(module) if module.name in APART else [str(module)])]


def _tests(module: Path) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", str(module)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=RUN_WITHIN_S, check=True).stdout
    return [line for line in result.splitlines() if line.startswith(f"{module}::")]


def _run(name: str, rows: str) -> Ran:
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", name]
    environment = {**os.environ, fault_table.ROWS_VARIABLE: rows, scratch.VARIABLE: scratch.DISK}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        try:
            said, _ = child.communicate(timeout=RUN_WITHIN_S)
        except subprocess.TimeoutExpired:
            child.terminate()
            said, _ = child.communicate()
    ran = Ran(name, child.returncode == 0, said, time.monotonic() - began)
    lines = said.strip().splitlines()
    told = lines[-1] if ran.passed and lines else f"\n{said}"
    print(f"{ran.name}, {ran.took_s:.0f} s: {told}", flush=True)  # noqa: T201  progress
    return ran


def _main() -> int:
    kept = os.environ.get(fault_table.ROWS_VARIABLE)
    if kept:  # what passed in an earlier run counts too
        return main(sys.argv[1:], kept)
    with tempfile.TemporaryDirectory(prefix="imsg-rows-") as rows:
        return main(sys.argv[1:], rows)


if __name__ == "__main__":
    sys.exit(_main())
