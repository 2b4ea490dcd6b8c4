"""Every regular expression of the product: those made by importing it, and those written where they are used.

A program of its own, since it has to be there before the first module is imported; it prints them as JSON.
"""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from imsg_testing.growth import Pattern

TIMEOUT_S = 550
"""Of wall time, on a machine that has much else to do; some ten seconds on one that has not."""

ROOT = Path(__file__).parents[3]

FUNCTIONS = ("compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn")

USES = {name: name if name in ("fullmatch", "match") else "findall" for name in FUNCTIONS}
"""What measures a use: all but the first two look at every place."""

RUN = (".__main__", ".migrations.env")
"""The ends of modules that are run, never imported."""

OUTSIDE = ("tests", "bench")
"""Members that are no part of the product."""

JAVASCRIPT = re.compile(
    r"/([^/*\s](?:[^/\\\n]|\\.)*)/[a-z]{0,6}\.(?:test|exec)\("
    r"|\.(?:match|matchAll|replace|replaceAll|search|split)\(/((?:[^/\\\n]|\\.)+)/"
)


class Unseen(Exception):  # noqa: N818  what a test says
    """A pattern that is neither made at import nor written where it is used, so that nobody can measure it."""


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call of the library in the product's source."""

    path: Path
    line: int
    call: ast.Call
    function: str
    name: str
    """Of the module's variable that holds what is compiled; empty where none does."""


def collect() -> list[Pattern]:
    """Find all, in a child. Raises Unseen."""
    said = subprocess.run(
        [sys.executable, "-m", "imsg_testing.patterns"],
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    if said.returncode:
        raise Unseen(said.stderr)
    return [Pattern(**{**told, "uses": tuple(told["uses"])}) for told in json.loads(said.stdout)]


def sources() -> list[Path]:
    """List the product's Python files."""
    rooms = [
        path.parent
        for path in (*ROOT.glob("*/pyproject.toml"), *ROOT.glob("shared/*/pyproject.toml"))
        if path.parent.name not in OUTSIDE
    ]
    return sorted(path for room in (*(room / "src" for room in rooms), ROOT / "deploy") for path in room.rglob("*.py"))


def scripts() -> Iterator[Pattern]:
    """Yield the patterns of what runs in browsers; their syntax is Python's, as far as they go."""
    for path in (*sources(), *(found for kind in ("*.js", "*.html") for found in ROOT.glob(f"*/src/**/{kind}"))):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for tested, used in JAVASCRIPT.findall(line):
                yield Pattern(tested or used, uses=("findall",), place=f"{path.relative_to(ROOT)}:{number}")


def _watch() -> dict[tuple[str, int], list[tuple[str | bytes, int]]]:
    """Record from now on what is given to `re`, by the file and line that gives it."""
    seen: dict[tuple[str, int], list[tuple[str | bytes, int]]] = defaultdict(list)
    compile_one = re._compile  # type: ignore[attr-defined]

    def watch_compile(pattern: Any, flags: Any) -> Any:  # noqa: ANN401
        caller = sys._getframe(2)
        if isinstance(pattern, str | bytes):
            seen[caller.f_code.co_filename, caller.f_lineno].append((pattern, int(flags)))
        return compile_one(pattern, flags)

    re._compile = watch_compile  # type: ignore[attr-defined]
    return seen


def _import_all(files: Sequence[Path]) -> None:
    for package in sorted({path.parts[path.parts.index("src") + 1] for path in files if "src" in path.parts}):
        found = importlib.import_module(package)
        for module in pkgutil.walk_packages(found.__path__, f"{package}."):
            if not module.name.endswith(RUN):
                importlib.import_module(module.name)


def _sites(path: Path) -> Iterator[CallSite]:
    tree = _tree(path)
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "re":
            raise Unseen(f"{path}:{node.lineno}: import re, so that its patterns are seen")
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names[id(node.value)] = node.targets[0].id
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _of_re(node.func)):
            yield CallSite(path, node.lineno, node, name, names.get(id(node), ""))


def _of_re(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute) and _is_library(function.value) and function.attr in FUNCTIONS:
        return function.attr
    return ""


def _uses(site: CallSite, files: Sequence[Path]) -> tuple[str, ...]:
    """Say how a pattern is used: as its name is, or, where it stands in a table, as any is in its file."""
    if site.function != "compile":
        return (USES[site.function],)
    within = files if site.name and not site.name.startswith("_") else (site.path,)
    named = {USES[method] for path in within for holder, method in _methods(path) if site.name and holder == site.name}
    in_file = {USES[method] for _, method in _methods(site.path)}
    return tuple(sorted(named or in_file or set(USES.values())))


@cache
def _methods(path: Path) -> list[tuple[str, str]]:
    """List (name, method) of what is asked of patterns in a file; str.split is told by what it is given."""
    tree = _tree(path)
    of_text = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (not node.args or isinstance(node.args[0], ast.Constant))
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in USES and not _is_library(node.value):
            if node.attr == "split" and id(node) in of_text:
                continue
            holder = node.value
            found.append((holder.id if isinstance(holder, ast.Name) else getattr(holder, "attr", ""), node.attr))
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _is_library(holder: ast.expr) -> bool:
    return isinstance(holder, ast.Name) and holder.id == "re"


def _literal(site: CallSite) -> tuple[str | bytes, int]:
    """Read a pattern that is written where it is used."""
    given = {keyword.arg: keyword.value for keyword in site.call.keywords}
    at = 2 if site.function in ("search", "match", "fullmatch", "findall", "finditer") else 99
    flags = given.get("flags") or (site.call.args[at] if len(site.call.args) > at else None)
    try:
        pattern = ast.literal_eval(site.call.args[0])
        worth = 0 if flags is None else eval(ast.unparse(flags), {"re": re})  # noqa: S307  our own source
    except ValueError as error:
        raise Unseen(
            f"{site.path}:{site.line}: write this pattern out, or compile it when the module is imported"
        ) from error
    return pattern, int(worth)


def main() -> None:
    """Print all."""
    files = sources()
    sites = [site for path in files for site in _sites(path)]
    seen = _watch()
    _import_all(files)
    found = []
    for site in sites:
        for text, flags in seen.get((str(site.path), site.line)) or [_literal(site)]:
            is_bytes = isinstance(text, bytes)
            found.append(
                Pattern(
                    text=text.decode("latin-1") if isinstance(text, bytes) else text,
                    flags=flags,
                    uses=_uses(site, files),
                    place=f"{site.path.relative_to(ROOT)}:{site.line}",
                    is_bytes=is_bytes,
                )
            )
    json.dump([asdict(pattern) for pattern in (*found, *scripts())], sys.stdout)


if __name__ == "__main__":
    main()
