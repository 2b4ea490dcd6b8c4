"""Collect the regular expressions of the product: those compiled on import, and the literals in calls of `re`.

This runs in a process of its own, because it watches `re` before the first module is imported. It prints JSON.
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

from imsg_testing.regex_growth import Pattern

TIMEOUT_S = 550
"""Of wall time, on a machine that has much else to do; some ten seconds on one that has not."""

ROOT = Path(__file__).parents[3]

FUNCTIONS = ("compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn")

MEASURED_METHODS = {name: name if name in ("fullmatch", "match") else "findall" for name in FUNCTIONS}
"""The method that is measured for each function: all but two of them search."""

PROGRAMS = (".__main__", ".migrations.env")
"""Ends of the names of modules that are run and never imported."""

OUTSIDE = ("tests", "bench")
"""Members of the workspace that are not part of the product."""

JAVASCRIPT = re.compile(
    r"/([^/*\s](?:[^/\\\n]|\\.)*)/[a-z]{0,6}\.(?:test|exec)\("
    r"|\.(?:match|matchAll|replace|replaceAll|search|split)\(/((?:[^/\\\n]|\\.)+)/"
)


class UnreadablePatternError(Exception):
    """A pattern is neither compiled on import nor a literal, so that it cannot be measured."""


@dataclass(frozen=True, slots=True)
class CallSite:
    """A call of the library in the product's source."""

    path: Path
    line: int
    call: ast.Call
    function: str
    name: str
    """The module's variable that holds the compiled pattern, if any."""


def collect() -> list[Pattern]:
    """Return the patterns. Raises UnreadablePatternError."""
    child = subprocess.run(
        [sys.executable, "-m", "imsg_testing.regexes"],
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    if child.returncode:
        raise UnreadablePatternError(child.stderr)
    return [Pattern(**{**fields, "methods": tuple(fields["methods"])}) for fields in json.loads(child.stdout)]


def sources() -> list[Path]:
    """List the product's Python files."""
    packages = [
        path.parent
        for path in (*ROOT.glob("*/pyproject.toml"), *ROOT.glob("shared/*/pyproject.toml"))
        if path.parent.name not in OUTSIDE
    ]
    return sorted(
        path
        for folder in (*(package / "src" for package in packages), ROOT / "deploy")
        for path in folder.rglob("*.py")
    )


def scripts() -> Iterator[Pattern]:
    """Yield the patterns of scripts that run in browsers. What they use of the syntax is the same in Python."""
    for path in (*sources(), *(file for kind in ("*.js", "*.html") for file in ROOT.glob(f"*/src/**/{kind}"))):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for tested, used in JAVASCRIPT.findall(line):
                yield Pattern(tested or used, methods=("findall",), place=f"{path.relative_to(ROOT)}:{number}")


def _watch() -> dict[tuple[str, int], list[tuple[str | bytes, int]]]:
    """Record each pattern that `re` compiles from now on, by the calling file and line."""
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
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not module.name.endswith(PROGRAMS):
                importlib.import_module(module.name)


def _sites(path: Path) -> Iterator[CallSite]:
    tree = _tree(path)
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "re":
            raise UnreadablePatternError(f"{path}:{node.lineno}: write `import re`, so that its patterns are found")
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names[id(node.value)] = node.targets[0].id
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _of_re(node.func)):
            yield CallSite(path, node.lineno, node, name, names.get(id(node), ""))


def _of_re(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute) and _is_library(function.value) and function.attr in FUNCTIONS:
        return function.attr
    return ""


def _measured_methods(site: CallSite, files: Sequence[Path]) -> tuple[str, ...]:
    """Return the methods called on a pattern by its name; for one in a table, every method called in its file."""
    if site.function != "compile":
        return (MEASURED_METHODS[site.function],)
    within = files if site.name and not site.name.startswith("_") else (site.path,)
    named = {
        MEASURED_METHODS[method]
        for path in within
        for holder, method in _methods(path)
        if site.name and holder == site.name
    }
    in_file = {MEASURED_METHODS[method] for _, method in _methods(site.path)}
    return tuple(sorted(named or in_file or set(MEASURED_METHODS.values())))


@cache
def _methods(path: Path) -> list[tuple[str, str]]:
    """Return (name, method) of the calls on patterns in a file. A call with a constant argument is str.split."""
    tree = _tree(path)
    of_text = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (not node.args or isinstance(node.args[0], ast.Constant))
    }
    results = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in MEASURED_METHODS and not _is_library(node.value):
            if node.attr == "split" and id(node) in of_text:
                continue
            holder = node.value
            results.append((holder.id if isinstance(holder, ast.Name) else getattr(holder, "attr", ""), node.attr))
    return results


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _is_library(holder: ast.expr) -> bool:
    return isinstance(holder, ast.Name) and holder.id == "re"


def _literal(site: CallSite) -> tuple[str | bytes, int]:
    """Return the pattern and the flags of a call with literals."""
    keywords = {keyword.arg: keyword.value for keyword in site.call.keywords}
    at = 2 if site.function in ("search", "match", "fullmatch", "findall", "finditer") else 99
    flags = keywords.get("flags") or (site.call.args[at] if len(site.call.args) > at else None)
    try:
        pattern = ast.literal_eval(site.call.args[0])
        value = 0 if flags is None else eval(ast.unparse(flags), {"re": re})  # noqa: S307  our own source
    except ValueError as error:
        raise UnreadablePatternError(
            f"{site.path}:{site.line}: write this pattern as a literal, or compile it on import"
        ) from error
    return pattern, int(value)


def main() -> None:
    """Print the patterns."""
    files = sources()
    sites = [site for path in files for site in _sites(path)]
    seen = _watch()
    _import_all(files)
    results = []
    for site in sites:
        for text, flags in seen.get((str(site.path), site.line)) or [_literal(site)]:
            is_bytes = isinstance(text, bytes)
            results.append(
                Pattern(
                    text=text.decode("latin-1") if isinstance(text, bytes) else text,
                    flags=flags,
                    methods=_measured_methods(site, files),
                    place=f"{site.path.relative_to(ROOT)}:{site.line}",
                    is_bytes=is_bytes,
                )
            )
    json.dump([asdict(pattern) for pattern in (*results, *scripts())], sys.stdout)


if __name__ == "__main__":
    main()
