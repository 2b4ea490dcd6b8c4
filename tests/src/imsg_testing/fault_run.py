"""Run every fault test in its own pytest, some in parallel, and write the page.

Most of a fault test is waiting for leases and steps to run out, so that several share the machine's time. What they
found is kept in `.reports/fault`; runs that are named (`python -m imsg_testing.fault_run tests/fault/test_sms.py`) add
to it, so that what failed is run again alone.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from imsg_testing import fault_table, scratch

FOLDER = Path("tests/fault")

ROWS = Path(".reports/fault")
"""What each fault test found, and what failed since the last whole run."""

REPORT = Path(".reports/fault-tolerance.md")
"""The page of what was found where not all of it passed."""

FAILED = ".failed"

BUSY = ("test_backlog.py", "test_alerts.py", "test_cancels.py", "test_upgrade.py", "test_cluster.py")
"""Modules that use a processor most of the time or elect leaders against the clock: one of them at a time."""

OTHERS_AT_ONCE = 3
"""Of the others, beside a busy one: each uses a fifth of a processor, most of it while its servers start."""

FIRST = ("test_sms.py", "test_providers.py")
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


def main(names: Sequence[str]) -> int:
    """Run these, by default everything; return the exit code. The page is written once all of it has passed."""
    if not names:
        shutil.rmtree(ROWS, ignore_errors=True)
    ROWS.mkdir(parents=True, exist_ok=True)
    chosen = names or _names()
    busy = [name for name in chosen if _module(name) in BUSY]
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(OTHERS_AT_ONCE) as several:
        began = [one.submit(_run, name) for name in busy]
        began += [several.submit(_run, name) for name in chosen if name not in busy]
        runs = [run.result() for run in began]
    for run in runs:
        _mark(run)
    failed = sorted(path.read_text(encoding="utf-8") for path in ROWS.glob(f"*{FAILED}"))
    if failed:
        REPORT.write_text(fault_table.page(fault_table.read(ROWS), datetime.now(UTC)), encoding="utf-8")
        print(f"failed: {' '.join(failed)}; what was found so far: {REPORT}", flush=True)  # noqa: T201
        print(f"again: {sys.executable} -m imsg_testing.fault_run {' '.join(failed)}", flush=True)  # noqa: T201
        return 1
    fault_table.main(str(ROWS))
    print(f"{fault_table.PAGE} is written", flush=True)  # noqa: T201
    return 0


def _mark(run: Ran) -> None:
    """Remember what failed until it has passed."""
    mark = ROWS / f"{run.name.replace('/', '-').replace('::', '-')}{FAILED}"
    if run.passed:
        mark.unlink(missing_ok=True)
    else:
        mark.write_text(run.name, encoding="utf-8")


def _module(name: str) -> str:
    return Path(name.partition("::")[0]).name


def _names() -> list[str]:
    """Return the runs: modules, and single tests of the slow modules."""
    first = [FOLDER / name for name in (*FIRST, *BUSY)]
    modules = [*first, *sorted(set(FOLDER.glob("test_*.py")) - set(first))]
    return [name for module in modules for name in (_tests(module) if module.name in APART else [str(module)])]


def _tests(module: Path) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", str(module)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=RUN_WITHIN_S, check=True).stdout
    return [line for line in result.splitlines() if line.startswith(f"{module}::")]


def _run(name: str) -> Ran:
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", name]
    environment = {**os.environ, fault_table.ROWS_VARIABLE: str(ROWS.absolute()), scratch.VARIABLE: scratch.DISK}
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
