"""The sizes of the images are those of docs/operations.md."""

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from imsg_channels import CHANNELS
from imsg_testing.compose import ROOT

ABOUT_MB = 3.0
"""Dependencies' own files differ a little from one processor to another."""


def test_the_manual_states_what_each_services_image_adds_to_its_base() -> None:
    (base,) = re.findall(r"^FROM (\S+:\S+) AS service$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    told = dict(re.findall(r"\| `(imsg-[a-z-]+)`[^|]*\| (\d+) ", (ROOT / "docs/operations.md").read_text()))
    built = subprocess.run(
        ["docker", "compose", "--profile", "*", "config", "--images"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    ours = {image for image in built.stdout.split() if image.startswith("imsg-")}
    weighed = {image: (_layers_mb(image) - _layers_mb(base)) for image in ours}

    assert set(told) == ours
    assert {image: weight for image, weight in weighed.items() if abs(weight - int(told[image])) > ABOUT_MB} == {}


@pytest.mark.timeout(1_200)
def test_an_archive_of_a_release_holds_every_image_for_its_architecture(tmp_path: Path) -> None:
    told = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Arch}}"], capture_output=True, text=True, timeout=60, check=True
    )
    arch = told.stdout.strip()
    done = subprocess.run(
        ["scripts/release-images", "save", str(tmp_path), "0.0.0-test", arch],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr

    (archive,) = tmp_path.iterdir()
    assert archive.name == f"imsg-0.0.0-test-images-linux-{arch}.tar.gz"
    with tarfile.open(archive) as images:
        manifest = images.extractfile("manifest.json")
        assert manifest is not None
        tags = [tag for image in json.load(manifest) for tag in image["RepoTags"]]
    subprocess.run(["docker", "image", "rm", *tags], capture_output=True, timeout=120, check=True)
    services = ("gateway", "auth", "history", "callbacks", "catalog", "console", "sandbox", "cli")
    senders = (channel.service for channel in CHANNELS)
    assert sorted(tags) == sorted(
        f"{name}:0.0.0-test" for name in ("imsg", *(f"imsg-{service}" for service in (*services, *senders)))
    )


def _layers_mb(image: str) -> float:
    """Add up an image's layers as they lie unpacked: what an engine calls its size differs with how it stores them."""
    history = ["docker", "image", "history", "--human=false", "--format", "{{.Size}}", image]
    result = subprocess.run(history, capture_output=True, text=True, timeout=60, check=True)
    return sum(map(int, result.stdout.split())) / 1e6
