"""The version before this one, as its commit in git says: `deploy/baseline` names it."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

INSTALL_TIMEOUT_S = 900.0
"""On a slow network the packages, which uv mostly has already, take minutes."""


def read_commit() -> str:
    """Return the baseline's commit, which a shallow clone fetches. Skip the test in a source archive: it has no git."""
    commit = (ROOT / "deploy/baseline").read_text(encoding="ascii").strip()
    if not (ROOT / ".git").exists():
        pytest.skip("a source archive holds no version but its own: clone the repository")
    if commit not in _git("rev-list", "--all").decode().split():
        _git("fetch", "--quiet", "--depth=1", "origin", commit)
    return commit


def list_files(commit: str) -> list[str]:
    """Return the paths of a commit's files."""
    return _git("ls-tree", "-r", "--name-only", commit).decode().splitlines()


def read_file(commit: str, path: str) -> bytes:
    """Return a file as a commit has it."""
    return _git("show", f"{commit}:{path}")


def install(commit: str) -> Path:
    """Install a commit by its own lock file into a folder that later runs find again; return its Python."""
    folder = ROOT / ".uv" / f"baseline-{commit[:12]}"
    python = folder / ".venv/bin/python"
    done = folder / "installed"
    if not done.exists():
        with tarfile.open(fileobj=BytesIO(_git("archive", commit))) as archive:
            archive.extractall(folder, filter="data")
        subprocess.run(
            [ROOT / ".uv/bin/uv", "sync", "--quiet", "--locked", "--no-dev", "--package", "imsg"],
            cwd=folder,
            check=True,
            timeout=INSTALL_TIMEOUT_S,
        )
        done.touch()
    return python


def _git(*arguments: str) -> bytes:
    own = ("-c", f"safe.directory={ROOT}")  # a checkout in a container is often another user's
    return subprocess.run(["git", *own, *arguments], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
