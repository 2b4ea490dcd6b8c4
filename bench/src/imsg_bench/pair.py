"""Two trees measured in turn: `python -m imsg_bench pair A B ROW …`, to decide between two ways of doing something.

A and B are folders of two trees, or revisions of this repository. Rounds in turn let the machine's mood fall on both.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from imsg_bench.compare import changes, read
from imsg_bench.figures import median, round_figure
from imsg_bench.result import Result

ROUNDS = 5

ROOT = Path(__file__).parents[3]

SETUP_TIMEOUT_S, ROW_TIMEOUT_S = 1_200.0, 900.0

Measure = Callable[[Path, Sequence[str], Path], Sequence[Result]]
"""Measures rows in a tree, with a folder to write to."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure of both trees: a median of each for every round."""

    key: str
    name: str
    unit: str
    first: tuple[float, ...]
    second: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """The second tree's figure over the first's, for each round."""
        return tuple(b / a if a else float("inf") for a, b in zip(self.first, self.second, strict=True))


def measure_rounds(trees: tuple[Path, Path], rows: Sequence[str], rounds: int, measure: Measure) -> list[Pair]:
    """Measure both trees in turn; the one that begins changes with each round."""
    medians: dict[tuple[str, str], list[tuple[float, float]]] = {}
    units: dict[tuple[str, str], str] = {}
    for number in range(rounds):
        results: dict[Path, Sequence[Result]] = {}
        for tree in trees if number % 2 == 0 else reversed(trees):
            with tempfile.TemporaryDirectory() as folder:
                results[tree] = measure(tree, rows, Path(folder))
        for change in changes(results[trees[0]], results[trees[1]]):
            name = (change.key, change.after.name)
            units[name] = change.after.unit
            medians.setdefault(name, []).append((change.before.middle, change.after.middle))
    return [
        Pair(*name, units[name], tuple(first for first, _ in values), tuple(second for _, second in values))
        for name, values in medians.items()
    ]


def measure_row(tree: Path, rows: Sequence[str], folder: Path) -> Sequence[Result]:
    """Measure rows by a tree's own bench. Raises CalledProcessError, TimeoutExpired, ValueError without results."""
    command = [str(tree / ".venv" / "bin" / "python"), "-m", "imsg_bench", "--quick", "--out", str(folder), *rows]
    subprocess.run(command, cwd=tree, check=True, stdout=subprocess.DEVNULL, timeout=ROW_TIMEOUT_S)
    return read(folder / "quick.json")[1]


@contextmanager
def open_tree(name: str) -> Iterator[Path]:
    """Yield a tree that is ready to measure: a folder, or a worktree of a revision that lasts as long as the context.

    Raises CalledProcessError where git knows no such revision, or the tree cannot be set up.
    """
    with ExitStack() as stack:
        tree = Path(name).resolve()
        if not (tree / "bench").is_dir():
            tree = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "tree"
            _git("worktree", "add", "--quiet", "--detach", str(tree), name)
            stack.callback(_git, "worktree", "remove", "--force", str(tree))
        subprocess.run(
            ["make", "--silent", ".venv/.to-bench", "isolation"], cwd=tree, check=True, timeout=SETUP_TIMEOUT_S
        )
        yield tree


def _git(*words: str) -> None:
    subprocess.run(["git", *words], cwd=ROOT, check=True, timeout=SETUP_TIMEOUT_S)


def write_table(names: tuple[str, str], pairs: Sequence[Pair]) -> str:
    """Write the medians, and the median, lowest and highest ratio of the rounds, as Markdown."""
    lines = [f"| | measured | {names[0]} | {names[1]} | ratio | lowest to highest |", "|---|---|---:|---:|---:|---|"]
    for pair in pairs:
        unit = f" {pair.unit}" if pair.unit else ""
        first, second = (f"{round_figure(median(values))}{unit}" for values in (pair.first, pair.second))
        spread = f"{min(pair.ratios):.2f} to {max(pair.ratios):.2f}"
        lines.append(f"| {pair.key} | {pair.name} | {first} | {second} | × {median(pair.ratios):.2f} | {spread} |")
    return "\n".join(lines)


def main(arguments: Sequence[str], measure: Measure = measure_row) -> int:
    """Measure two trees; exit code 1 where one of them can't be measured."""
    parser = argparse.ArgumentParser(prog="python -m imsg_bench pair", description=__doc__)
    parser.add_argument("first", metavar="A", help="folder of a tree, or a revision")
    parser.add_argument("second", metavar="B", help="the other")
    parser.add_argument("rows", nargs="+", metavar="ROW", help="measurements, such as A or D")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each is measured ({ROUNDS})")
    options = parser.parse_args(arguments)
    try:
        with open_tree(options.first) as first, open_tree(options.second) as second:
            pairs = measure_rounds((first, second), options.rows, options.rounds, measure)
    except (subprocess.SubprocessError, ValueError) as error:
        print(f"pair: {error}", file=sys.stderr)
        return 1
    print(write_table((options.first, options.second), pairs))
    return 0
