"""What an edit's answer is: the test files that a change can break, the nearest first, within half a minute.

    python -m imsg_testing.changed [--since REV] [--budget SECONDS | --all] [--list]

A map of imports says which test file reaches a changed file, and over how many modules: the fewer, the likelier it is
to break. A file that is no Python is reached by what names it. Stories that start `imsg up` reach it by a process,
which no map of imports sees: they run where they, or what they are written with, changed, and in `make test`.
"""

import argparse
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from imsg_testing.durations import REPORTS, Durations

BUDGET_S = 45.0
"""Seconds of tests, added up: four at once on two processors need half of it."""

UNKNOWN_S = 1.0
"""What a file is taken to need that no run has measured."""

_IMPORT = re.compile(r"^[ \t]*(?:from (?P<module>[\w.]+) )?import (?P<names>\([^)]*\)|[^\n#]+)", re.MULTILINE)

Graph = Mapping[str, Collection[str]]
"""A file's path → the paths of the files that import or name it."""


def list_changed(tree: Path, since: str) -> list[str]:
    """List the files that differ from a revision, the new ones too."""
    changed = _git(tree, "diff", "--name-only", "--no-renames", since)
    return sorted({*changed, *_git(tree, "ls-files", "--others", "--exclude-standard")})


def build_graph(tree: Path, others: Iterable[str]) -> Graph:
    """Read every Python file of the tree, and who imports whom; `others` are files to look for by their names."""
    sources = {path: (tree / path).read_text(encoding="utf-8") for path in _git(tree, "ls-files", "*.py", "-co")}
    modules = {_name_module(path): path for path in sources}
    names = {PurePosixPath(path).name: path for path in others}
    graph = defaultdict[str, set[str]](set)
    for path, source in sources.items():
        for name in _list_imports(path, source):
            if (imported := _find(modules, name)) is not None:
                graph[imported].add(path)
        for name, other in names.items():
            if name in source:
                graph[other].add(path)
        folder = PurePosixPath(path).parent
        for above in (folder, *folder.parents) if _is_test(path) else ():
            graph[str(above / "conftest.py")].add(path)
    return graph


def rank(changed: Iterable[str], graph: Graph) -> dict[str, int]:
    """Return the test files that reach what changed → over how many imports, the nearest first."""
    steps = dict.fromkeys(changed, 0)
    queue = list(steps)
    for path in queue:
        for user in graph.get(path, ()):
            if user not in steps:
                steps[user] = steps[path] + 1
                queue.append(user)
    return {path: steps[path] for path in queue if _is_test(path)}


def choose(ranked: Mapping[str, int], durations: Mapping[str, float], budget_s: float) -> list[str]:
    """Choose the nearest within the budget, of equally near ones the quick first. At least one is chosen."""
    chosen, left_s = list[str](), budget_s
    for path in sorted(ranked, key=lambda path: (ranked[path], durations.get(path, UNKNOWN_S))):
        seconds = durations.get(path, UNKNOWN_S)
        if seconds <= left_s or not chosen:
            chosen.append(path)
            left_s -= seconds
    return chosen


def read_durations(reports: Path) -> dict[str, float]:
    """Return the seconds that each file took in the last run of `make test`; empty before the first."""
    path = reports / "test.json"
    return {row.path: row.total_s for row in Durations.read(path).files} if path.exists() else {}


def _is_test(path: str) -> bool:
    return PurePosixPath(path).name.startswith("test_") and path.endswith(".py")


def _name_module(path: str) -> str:
    """Return a file's dotted name: below its `src`, or for one that no package holds by its folders."""
    inner = path.rpartition("/src/")[2].removesuffix(".py").removesuffix("/__init__")
    return inner.replace("/", ".")


def _find(modules: Mapping[str, str], name: str) -> str | None:
    """Return the file of a module, or of the module that a name is imported from."""
    return modules.get(name) or modules.get(name.rpartition(".")[0])


def _list_imports(path: str, source: str) -> Iterator[str]:
    """Yield the dotted names that a file imports, wherever in it: read as text, which takes a tenth of parsing it."""
    package = _name_module(path).split(".")
    for found in _IMPORT.finditer(source):
        module, names = found["module"] or "", re.findall(r"([\w.]+)(?: as \w+)?", found["names"])
        level = len(module) - len(module.lstrip("."))
        above = package[: len(package) - level + path.endswith("/__init__.py")] if level else []
        start = ".".join((*above, *filter(None, [module.lstrip(".")])))
        yield from (f"{start}.{name}" if start else name for name in names)


def _git(tree: Path, *arguments: str) -> list[str]:
    command = ["git", "-c", "core.quotePath=off", *arguments]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if (tree / line).exists()]


def main(arguments: Sequence[str]) -> int:
    """Run what was chosen, or list it; return the exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--since", default="HEAD", help="compare with this revision")
    parser.add_argument("--budget", type=float, default=BUDGET_S, help="seconds of tests, added up")
    parser.add_argument("--all", action="store_true", help="whatever it takes")
    parser.add_argument("--list", action="store_true", help="run nothing")
    options, more = parser.parse_known_args(arguments)
    tree = Path.cwd()
    changed = list_changed(tree, options.since)
    durations = read_durations(tree / REPORTS)
    reached = rank(changed, build_graph(tree, (path for path in changed if not path.endswith(".py"))))
    ranked = {path: steps for path, steps in reached.items() if not durations or path in durations or path in changed}
    chosen = choose(ranked, durations, float("inf") if options.all else options.budget)
    left = sorted(set(ranked) - set(chosen))
    seconds = [sum(durations.get(path, UNKNOWN_S) for path in paths) for paths in (chosen, left)]
    sys.stdout.write(
        f"test-changed: {len(changed)} files differ from {options.since}; {len(ranked)} test files reach them; now "
        f"{len(chosen)} ({seconds[0]:.0f} s added up), left to make test {len(left)} ({seconds[1]:.0f} s)\n"
    )
    if options.list or not chosen:
        sys.stdout.write("".join(f"{ranked[path]:3} {path}\n" for path in chosen))
        return 0
    return subprocess.run([sys.executable, "-m", "pytest", *more, *chosen], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
