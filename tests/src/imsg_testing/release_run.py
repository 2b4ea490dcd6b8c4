"""What a release is held to and a push is not: the parts of `make test-release`, and the record of each.

    python -m imsg_testing.release_run [PART…]      runs parts, by default all, one after the other
    python -m imsg_testing.release_run --recorded   fails unless each part has passed for this commit

A part that fails keeps none of the others back. `make release` asks for the records.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

RECORDS = Path(".reports/release")

PARTS = {
    "isolation": ("make", "isolation"),
    "rare": ("make", "test-rare"),
    "faults": ("make", "test-fault"),
    "containers": ("make", "test-compose"),
    "stalls": ("make", "test-stalls"),
    **{f"order-{number}": ("make", "test-order") for number in range(1, 6)},
    "mutants": ("make", "mutants"),
    "bench": ("make", "bench"),
}
"""Each part by its name: the command. The measurements come last, since what fails before changes them."""

WRITTEN = ("docs/fault-tolerance.md", "docs/fault-tolerance.zh.md", "bench/results")
"""What parts write into the tree. A commit that differs in nothing else has the same records."""


@dataclass(frozen=True, slots=True)
class Record:
    """How a part ended."""

    part: str
    commit: str
    began: str
    took_s: float
    passed: bool

    def write(self, folder: Path) -> None:
        """Write it as JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.part}.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")


def read(folder: Path) -> list[Record]:
    """Read the records of a folder."""
    return [Record(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]


def missing(records: Sequence[Record], tree: Path) -> list[str]:
    """Return the parts that have not passed for what the tree holds now."""
    passed = {record.part for record in records if record.passed and not changed_since(record.commit, tree)}
    return [part for part in PARTS if part not in passed]


def changed_since(commit: str, tree: Path) -> bool:
    """Return whether the tree differs from a commit in anything but what the parts write."""
    others = [".", *(f":(exclude){path}" for path in WRITTEN)]
    same = subprocess.run(["git", "diff", "--quiet", commit, "--", *others], cwd=tree, check=False)
    new = _git(tree, "ls-files", "--others", "--exclude-standard", "--", *others)
    return same.returncode != 0 or bool(new)


def _git(tree: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=tree, capture_output=True, text=True, check=True).stdout.strip()


def run(parts: Sequence[str], tree: Path) -> list[str]:
    """Run these; return those that failed."""
    commit = _git(tree, "rev-parse", "HEAD")
    records = [_run(part, commit, tree) for part in parts]
    for record in records:
        said = "passed" if record.passed else "FAILED"
        print(f"{record.part:12} {said} in {record.took_s / 60:.1f} min", flush=True)  # noqa: T201
    return [record.part for record in records if not record.passed]


def _run(part: str, commit: str, tree: Path) -> Record:
    print(f"test-release: {part}: {' '.join(PARTS[part])}", flush=True)  # noqa: T201
    day, began = datetime.now(UTC), time.monotonic()
    done = subprocess.run(PARTS[part], cwd=tree, stdin=subprocess.DEVNULL, check=False)
    took_s = round(time.monotonic() - began, 1)
    record = Record(part, commit, f"{day:%Y-%m-%dT%H:%M:%SZ}", took_s, done.returncode == 0)
    record.write(tree / RECORDS)
    return record


def main(arguments: Sequence[str]) -> int:
    """Run, or look at the records; return the exit code."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--recorded", action="store_true", help="run nothing: fail unless each part has its record")
    options = parser.parse_args(arguments)
    tree = Path.cwd()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if options.recorded:
        return _say_missing(missing(read(tree / RECORDS), tree))
    if changed_since("HEAD", tree):
        print("test-release: commit first; a record is one of a commit", file=sys.stderr)  # noqa: T201
        return 2
    return 1 if run(options.parts or list(PARTS), tree) else 0


def _say_missing(parts: Sequence[str]) -> int:
    if parts:
        names = " ".join(parts)
        print(f'no record that this commit passed: make test-release PARTS="{names}"', file=sys.stderr)  # noqa: T201
    return 1 if parts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
