"""The sizes of the images are those of docs/operations.md."""

import re
import subprocess

from imsg_testing.compose import ROOT

ABOUT_MB = 3.0
"""Dependencies' own files differ a little from one processor to another."""


def test_the_manual_tells_what_each_service_s_image_adds_to_its_base() -> None:
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


def _layers_mb(image: str) -> float:
    """Add up an image's layers as they lie unpacked: what an engine calls its size differs with how it stores them."""
    history = ["docker", "image", "history", "--human=false", "--format", "{{.Size}}", image]
    result = subprocess.run(history, capture_output=True, text=True, timeout=60, check=True)
    return sum(map(int, result.stdout.split())) / 1e6
