"""Files that share an `imsg up` go to one worker, whatever else there is to do."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

FILE = """
import os
from pathlib import Path


def test_one():
    with Path({told!r}).open("a") as told:
        told.write(f"{name} {{os.environ['PYTEST_XDIST_WORKER']}}\\n")
"""

NAMES = ("tests/browser/test_a.py", "tests/browser/test_b.py", *(f"tests/contract/test_{n}.py" for n in range(4)))


def test_what_shares_goes_to_one_worker(tmp_path: Path) -> None:
    told = tmp_path / "told"
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["imsg_testing.plugin"]\n')
    for name in NAMES:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FILE.format(told=str(told), name=name))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    workers = dict(line.split() for line in told.read_text().splitlines())
    assert set(workers) == set(NAMES)
    assert workers["tests/browser/test_a.py"] == workers["tests/browser/test_b.py"]
    assert len(set(workers.values())) == 2
