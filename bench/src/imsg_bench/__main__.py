"""The command: `python -m imsg_bench [--quick] [--history] [A B …]`, or a word that reads runs (READERS)."""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from imsg_bench import excerpt, machine, pair, report, sizing
from imsg_bench.measure import Measurement, Run
from imsg_bench.progress import Progress
from imsg_bench.result import Result, list_missed
from imsg_bench.scale import FULL, HISTORY, QUICK, Scale
from imsg_bench.servers import Servers
from imsg_bench.table import BY_KEY, METHODS, TABLE

ROOT = Path(__file__).parents[3]
PEER_PYTHON = ROOT / ".uv" / "peer" / "bin" / "python"


READERS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "excerpt": excerpt.main,
    "pair": pair.main,
    "sizing": sizing.main,
}


def main(arguments: list[str]) -> int:
    """Measure, or read what was measured; exit code 1 where it failed, 2 for a wrong word."""
    if arguments and (reader := READERS.get(arguments[0])) is not None:
        return reader(arguments[1:])
    parser = argparse.ArgumentParser(prog="python -m imsg_bench", description=__doc__)
    parser.add_argument("measurements", nargs="*", metavar="A", help=f"which: {', '.join(BY_KEY)}; all where none")
    parser.add_argument("--quick", action="store_true", help="few, short rounds")
    parser.add_argument("--history", action="store_true", help="history alone, with 5,000,000 messages")
    parser.add_argument("--out", type=Path, default=None, help="folder to write to (bench/results)")
    options = parser.parse_args(arguments)
    keys = [name.upper() for name in options.measurements] or (["F"] if options.history else list(BY_KEY))
    if unknown := [name for name in keys if name not in BY_KEY]:
        parser.error(f"there is no measurement {', '.join(unknown)}; there are {', '.join(BY_KEY)}")
    scale = HISTORY if options.history else QUICK if options.quick else FULL
    results = measure([measurement_ for measurement_ in TABLE if measurement_.KEY in keys], scale)
    failed = [name for name in keys if name not in {result.key for result in results}]
    whole = len(keys) == len(BY_KEY) or options.history
    out = options.out or (ROOT / "bench" / "results" if whole else None)
    document = report.document(scale.name, machine.describe(), results)
    print(report.table(results))
    for result in results:
        for name, cost in result.costs.items():
            print(f"{result.key} {name}: {cost:.0f} processor µs each")
        for note in result.notes:
            print(f"{result.key} {note}")
    if out is not None:
        for path in report.write(out, document, results, METHODS):
            print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    for result, series in list_missed(results):
        print(f"not reached: {result.key} {series.name}: {series.middle:.3g}, to be {series.goal}")
    if failed:
        print(f"failed, and not in the results: {', '.join(failed)}")
    return 1 if failed else 0


def measure(measurements: list[Measurement], scale: Scale) -> list[Result]:
    """Run measurements on the same servers; one that fails is reported and left out."""
    progress = Progress()
    with ExitStack() as stack:
        servers = Servers(stack)
        peer = PEER_PYTHON if PEER_PYTHON.exists() else None
        if peer is None:
            progress.show("no peer: its environment is made by `make bench`")
        results: dict[str, Result] = {}
        run = Run(scale, servers, progress, peer, results)
        for measurement in measurements:
            progress.show(f"{measurement.KEY}  {measurement.TITLE} (load of the machine: {machine.load():.1f})")
            try:
                results[measurement.KEY] = measurement.measure(run)
            except Exception:  # noqa: BLE001  whatever it is, half an hour of the others' figures is not lost by it
                progress.show(f"{measurement.KEY}  failed: {traceback.format_exc()}")
        return list(results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
