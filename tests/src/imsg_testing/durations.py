"""A pytest plugin: how long each file of a run took, and each start of its servers.

Where a run writes JUnit XML (`--junit-xml=.reports/NAME.xml`), its durations lie beside it as JSON, and the run ends
with the ten slowest files. `make slowest` prints the table of the last runs.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

REPORTS = Path(".reports")
SHOWN = 10
STARTS = "imsg_starts"
"""The key under which a worker of xdist hands its servers' starts to the controller."""


@dataclass(slots=True)
class FileDuration:
    """One file: its tests, and the seconds that its fixtures and its tests took. The first of a group pays for it."""

    path: str
    tests: int = 0
    setup_s: float = 0.0
    call_s: float = 0.0
    teardown_s: float = 0.0

    @property
    def total_s(self) -> float:
        """Seconds in all."""
        return self.setup_s + self.call_s + self.teardown_s


@dataclass(slots=True)
class Durations:
    """Those of one run."""

    name: str
    wall_s: float = 0.0
    files: list[FileDuration] = field(default_factory=list)
    starts: list[tuple[str, float]] = field(default_factory=list)
    """Kind of server, and the seconds until it was ready; one entry for each start of a shared one."""

    def write(self, path: Path) -> None:
        """Write them as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Durations":
        """Read what was written."""
        written = json.loads(path.read_text(encoding="utf-8"))
        files = [FileDuration(**row) for row in written["files"]]
        return cls(written["name"], written["wall_s"], files, [(name, seconds) for name, seconds in written["starts"]])

    def describe(self, shown: int = SHOWN) -> Iterator[str]:
        """Yield the lines of the table, the slowest file first."""
        total = sum(row.total_s for row in self.files)
        yield f"{self.name}: {sum(row.tests for row in self.files):,} tests, {total:,.0f} s in {self.wall_s:,.0f} s"
        yield "   total   setup    call  tests  file"
        for row in sorted(self.files, key=attrgetter("total_s"), reverse=True)[:shown]:
            yield f"{row.total_s:8.1f}{row.setup_s:8.1f}{row.call_s:8.1f}{row.tests:7d}  {row.path}"
        by_kind = defaultdict[str, list[float]](list)
        for kind, seconds in self.starts:
            by_kind[kind].append(seconds)
        for kind, times in sorted(by_kind.items()):
            yield f"{sum(times):8.1f}  {len(times)} x {kind} until ready"


class _Recorder:
    """Adds up what the tests report, in the process that writes the report."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = time.monotonic()
        self._files: dict[str, FileDuration] = {}
        self._durations = Durations(path.stem)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        path = report.nodeid.partition("::")[0]
        row = self._files.setdefault(path, FileDuration(path))
        if report.when == "setup":
            row.tests += 1
            row.setup_s += report.duration
        elif report.when == "call":
            row.call_s += report.duration
        else:
            row.teardown_s += report.duration

    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401  a worker's controller: xdist says no type
        self._durations.starts += getattr(node, "workeroutput", {}).get(STARTS, [])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        own = session.config.stash[_starts]
        self._durations.starts += own
        self._durations.files = list(self._files.values())
        self._durations.wall_s = time.monotonic() - self._began
        self._durations.write(self._path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section(f"slowest files ({self._path})")
        for line in self._durations.describe():
            terminalreporter.write_line(line)


_starts = pytest.StashKey[list[tuple[str, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Record where a report is written."""
    config.stash[_starts] = []
    xml = config.getoption("xmlpath", None)
    if xml and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Recorder(Path(xml).with_suffix(".json")), "imsg-durations")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's starts to the controller."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[STARTS] = session.config.stash[_starts]


@contextmanager
def timed_start(config: pytest.Config, kind: str) -> Iterator[None]:
    """Record how long a shared server takes to start."""
    began = time.monotonic()
    yield
    config.stash[_starts].append((kind, round(time.monotonic() - began, 2)))


def main(arguments: Sequence[str]) -> None:
    """Print the tables of the last runs, in the order in which they were written; a number says how many files."""
    shown = int(arguments[0]) if arguments else 30
    written = sorted(REPORTS.glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not written:
        sys.exit("imsg: no run has written .reports yet: make test")
    for path in written:
        sys.stdout.write("\n".join((*Durations.read(path).describe(shown), "")))


if __name__ == "__main__":
    main(sys.argv[1:])
