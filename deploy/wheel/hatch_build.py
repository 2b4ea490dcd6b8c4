"""Collects what the one wheel holds: the packages that the command depends on, and what these need from outside."""

import re
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

WORKSPACE = Path(__file__).parents[2]


def _read_projects() -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return folder and pyproject.toml of each package of the workspace, by the package's name."""
    root = tomllib.loads((WORKSPACE / "pyproject.toml").read_text(encoding="utf-8"))
    folders = (folder for member in root["tool"]["uv"]["workspace"]["members"] for folder in WORKSPACE.glob(member))
    files = {folder: tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")) for folder in folders}
    return {file["project"]["name"]: (folder, file) for folder, file in files.items()}


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _collect() -> tuple[dict[str, str], list[str]]:
    """Return the packages (source folder → name in the wheel), and the requirements from outside."""
    projects = _read_projects()
    packages, outside, waiting = {}, set(), ["imsg"]
    seen = set(waiting)
    while waiting:
        folder, file = projects[waiting.pop()]
        module = file["tool"]["uv"]["build-backend"]["module-name"]
        packages[str(folder / "src" / module)] = module
        for requirement in file["project"]["dependencies"]:
            name = _name(requirement)
            if name not in projects:
                outside.add(requirement)
            elif name not in seen:
                seen.add(name)
                waiting.append(name)
    return packages, sorted(outside)


class Metadata(MetadataHookInterface):
    """Names the requirements."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the fields that are dynamic."""
        metadata["dependencies"] = _collect()[1]
        readme = (WORKSPACE / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}


class Packages(BuildHookInterface[Any]):
    """Adds the packages."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Set which folders go where in the wheel."""
        del version
        build_data["force_include"] = _collect()[0]
