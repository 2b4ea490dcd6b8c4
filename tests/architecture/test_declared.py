"""Every package declares what it imports, within functions too."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(
    path.parent
    for pattern in ("*/pyproject.toml", "shared/*/pyproject.toml", "clients/*/pyproject.toml")
    for path in ROOT.glob(pattern)
    if path.parent.name not in {"tests", "bench"}
)
OF_PYDANTIC = {"pydantic_core": "pydantic"}
"""Released together, each version of the one for one of the other."""


def toml(folder: Path) -> dict[str, Any]:
    """Read what a distribution says of itself."""
    return tomllib.loads((folder / "pyproject.toml").read_text())


def module_of(folder: Path) -> str:
    """Return what a distribution of ours is imported as."""
    name: str = toml(folder)["tool"]["uv"]["build-backend"]["module-name"]
    return name


def normalize(name: str) -> str:
    """Write a distribution's name in its normal form (PEP 503), without what it is bounded by."""
    match = re.match(r"[\w.-]+", name)
    assert match is not None
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def list_imports(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the packages that a distribution imports anywhere, and where."""
    for path in (folder / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            for name in names:
                yield name.partition(".")[0], path


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_distribution_declares_what_it_imports(folder: Path) -> None:
    project = toml(folder)["project"]
    optional = project.get("optional-dependencies", {}).values()
    declared = {normalize(dependency) for some in (project.get("dependencies", []), *optional) for dependency in some}
    own = {module_of(shipped): normalize(toml(shipped)["project"]["name"]) for shipped in SHIPPED}
    installed = packages_distributions()
    undeclared = {
        (package, str(path.relative_to(ROOT)))
        for package, path in list_imports(folder)
        if package not in sys.stdlib_module_names
        and package != module_of(folder)
        and not {own.get(package), OF_PYDANTIC.get(package), *map(normalize, installed.get(package, []))} & declared
    }
    assert not undeclared
