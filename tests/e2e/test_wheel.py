"""The one wheel: what `pip install imsg` gets runs by itself and sends a mail."""

import subprocess
import sys
from pathlib import Path

import pytest

from imsg_contract.version import VERSION
from imsg_testing.deployed import ROOT
from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

INSTALL_TIMEOUT_S = 500.0
"""200 MB come from the package index where no cache has them."""


def _run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.release
@pytest.mark.timeout(900)
def test_the_wheel_alone_sends_a_first_mail(tmp_path: Path) -> None:
    _run(Path(sys.executable).parent / "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT / "deploy/wheel")
    (wheel,) = tmp_path.glob("*.whl")
    home, uv = tmp_path / "installed", ROOT / ".uv/bin/uv"
    _run(uv, "venv", "--quiet", "--python", sys.executable, home)
    _run(uv, "pip", "install", "--quiet", "--python", home, wheel)
    imsg = home / "bin/imsg"
    assert _run(imsg, "--version") == f"imsg {VERSION}\n"

    deployment = Deployment(tmp_path / "up", command=(str(imsg), "up"))
    try:
        deployment.start()
        assert deployment.logs.lstrip().startswith("iMSG runs at"), "nothing is printed before the banner"
        answer = deployment.send("you@example.com", subject="hello", text="您好")
        assert answer["errorCode"] == 0
        wait(lambda: bool(deployment.inbox(to="you@example.com")), 60)
        assert deployment.call("GET", "/openapi.json")["info"]["title"]
        assert "iMSG" in deployment.client.get("/", follow_redirects=True).text
    finally:
        deployment.close()
