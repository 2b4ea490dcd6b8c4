"""Mutants of the rules that must not be wrong: `make mutants`, in an environment that has cosmic-ray.

    python tests/src/imsg_testing/mutation.py [ROOM…]      by default all rooms

Each mutant changes one operator, number, condition or loop of a room's modules, in a copy of the tree, and the room's
tests must fail. A room in which fewer than `KILLED` do fails. `tests/mutants.toml` lists survivors that change nothing
that anybody could see, each with its reason.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shutil import copy2, rmtree
from typing import Any

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkerOutcome, WorkResult

KILLED = 0.95
"""The share of a room's mutants that its tests must notice."""

TIMEOUT_S = 120.0
"""How long the tests of one mutant may last; one that hangs them is noticed."""

AT_ONCE = 2
"""How many rooms run at once."""

OPERATORS = {
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop",
    "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Div_Mul", "ReplaceBinaryOperator_FloorDiv_Mul", "ReplaceBinaryOperator_Mod_Mul",
    "ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_Lt_Gt", "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_LtE_Gt", "ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_Gt_Lt",
    "ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_GtE_Lt", "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq", "ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is",
}  # fmt: skip
"""The changes that are made: one or two of each kind, since ten others of an operator are noticed by the same test."""

LARGE = 10
"""From here on a number is not changed by one: a thousandth more of a wait is nothing that anybody notices."""

DECLARING = ("@", "def ", "async def ", "class ", "import ", "from ", "*", "/,", "self,")
"""How lines begin that only declare; what is changed there is noticed by the import, or is a type."""


@dataclass(frozen=True, slots=True)
class Room:
    """Modules that decide one thing, and the tests that hold them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "decide": Room(
        ("shared/delivery/src/imsg_delivery/decide.py",),
        ("shared/delivery/tests/test_decide.py", "shared/delivery/tests/test_decide_life.py"),
    ),
    "claims": Room(
        tuple(
            f"shared/delivery/src/imsg_delivery/claims/{name}.py"
            for name in ("store", "settled", "cancelling", "records", "erasure")
        ),
        tuple(
            f"shared/delivery/tests/test_{name}.py"
            for name in ("claims", "claims_erasure", "settled", "delivery", "pause")
        ),
    ),
    "charging": Room(
        tuple(f"shared/limits/src/imsg_limits/quota/{name}.py" for name in ("charging", "results", "counters")),
        tuple(f"shared/limits/tests/test_quota{name}.py" for name in ("", "_crowds", "_windows")),
    ),
    "redaction": Room(
        tuple(f"history/src/imsg_history/{name}.py" for name in ("redaction", "batch_redaction", "code_redaction")),
        ("tests/contract/test_history_erasures.py", "tests/contract/test_history_maintenance.py"),
    ),
}


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no test noticed."""

    module: str
    line: str
    mutant: str

    def __str__(self) -> str:
        return f"{self.module}: {self.line}\n    {self.mutant}"


@dataclass(frozen=True, slots=True)
class Score:
    """What became of a room's mutants; listed survivors do not count."""

    room: str
    mutants: int
    survivors: tuple[Survivor, ...]

    @property
    def killed(self) -> float:
        """The share that was noticed."""
        return 1 - len(self.survivors) / self.mutants if self.mutants else 0.0

    def __str__(self) -> str:
        lines = [f"{self.room:10} {self.killed:.1%} of {self.mutants} mutants killed", *map(str, self.survivors)]
        return "\n  ".join(lines)


def read_listed(tree: Path) -> set[tuple[str, str]]:
    """Read the lines whose mutants may survive: the module, and the line without its indentation."""
    rows = tomllib.loads((tree / "tests/mutants.toml").read_text(encoding="utf-8"))["survivors"]
    return {(row["module"], row["line"]) for row in rows}


def declaring(source: str) -> set[int]:
    """Return the numbers, from 1, of lines that only declare: the heads of functions and classes, imports."""
    found: set[int] = set()
    is_open = False
    for number, line in enumerate(source.splitlines(), 1):
        text = line.strip()
        is_head = text.startswith(DECLARING)
        if is_open or is_head or not text:
            found.add(number)
        if text.startswith(("def ", "async def ")):
            is_open = True
        is_open = is_open and not text.endswith(":")
    return found


def run(name: str, tree: Path) -> Score:
    """Run the mutants of a room."""
    room, copy = ROOMS[name], tree / ".reports/mutants" / name
    _copy(tree, copy)
    session = copy / "mutants.sqlite"
    python_path = ":".join(str(path) for pattern in ("*/src", "shared/*/src") for path in sorted(copy.glob(pattern)))
    tests = " ".join(room.tests)
    command = f"env PYTHONPATH={python_path} .venv/bin/pytest -q -x -p no:cacheprovider {tests}"
    settings = copy / "mutants.toml"
    modules = ", ".join(f'"{module}"' for module in room.modules)
    settings.write_text(
        f'[cosmic-ray]\nmodule-path = [{modules}]\ntimeout = {TIMEOUT_S}\ntest-command = "{command}"\n'
        'excluded-modules = []\n[cosmic-ray.distributor]\nname = "local"\n',
        encoding="utf-8",
    )
    tool = Path(sys.executable).with_name("cosmic-ray")
    for verb in (("baseline", settings), ("init", settings, session)):
        subprocess.run([tool, *verb], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    with use_db(session) as work:
        _skip(work, copy)
    subprocess.run([tool, "exec", settings, session], cwd=copy, check=True, stdout=subprocess.DEVNULL)
    with use_db(session) as work:
        return _count(name, work, copy, read_listed(tree))


def _copy(tree: Path, copy: Path) -> None:
    rmtree(copy, ignore_errors=True)
    files = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(files, cwd=tree, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (tree / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            copy2(tree / name, copy / name)
    (copy / ".venv").symlink_to(tree / ".venv")


def _skip(work: WorkDB, copy: Path) -> None:
    """Leave out what says nothing: other operators, lines that declare, and large numbers."""
    for item in work.work_items:
        for mutation in item.mutations:
            source = (copy / mutation.module_path).read_text(encoding="utf-8")
            line, column = mutation.start_pos
            operator = mutation.operator_name.removeprefix("core/")
            is_large = operator == "NumberReplacer" and _read_number(source.splitlines()[line - 1][column:]) >= LARGE
            if operator not in OPERATORS or line in declaring(source) or is_large:
                work.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED))


def _read_number(text: str) -> float:
    number = re.match(r"[\d_]+(\.\d+)?", text)
    return float(number[0]) if number else 0.0


def _count(name: str, work: WorkDB, copy: Path, listed: Collection[tuple[str, str]]) -> Score:
    results = {job: result for job, result in work.results if result.worker_outcome != WorkerOutcome.SKIPPED}
    survivors = [
        survivor
        for item in work.work_items
        if item.job_id in results and not results[item.job_id].is_killed
        for survivor in _name(item.mutations, results[item.job_id].diff or "", copy)
    ]
    unlisted = tuple(survivor for survivor in survivors if (survivor.module, survivor.line) not in listed)
    return Score(name, len(results) - len(survivors) + len(unlisted), unlisted)


def _name(mutations: Sequence[Any], diff: str, copy: Path) -> Iterator[Survivor]:
    for mutation in mutations:
        path, number = mutation.module_path, mutation.start_pos[0]
        line = (copy / path).read_text(encoding="utf-8").splitlines()[number - 1].strip()
        added = [text[1:].strip() for text in diff.splitlines() if text.startswith("+") and not text.startswith("+++")]
        yield Survivor(str(path), line, " ".join(added))


def main(names: Sequence[str]) -> int:
    """Run these rooms, or all; return the exit code."""
    tree = Path.cwd()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        scores = list(pool.map(lambda name: run(name, tree), names or ROOMS))
    print("\n".join(map(str, scores)), flush=True)  # noqa: T201
    return 0 if all(score.killed >= KILLED for score in scores) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
