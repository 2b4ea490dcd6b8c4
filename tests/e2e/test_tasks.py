"""The commands of the pages that follow one task work as written."""

import re
import subprocess
from pathlib import Path

import pytest

from imsg_testing.command_line import IMSG, VERB_TIMEOUT_S
from imsg_testing.deployed import ROOT
from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.xdist_group("stories of users")

TASKS = ROOT / "docs" / "tasks"

PAGES = [f"{name}{twin}.md" for name in ("notify-300-people", "why-not-received") for twin in ("", ".zh")]
"""The page about providers changes settings, which a running iMSG does not take."""


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_of_a_task_work_as_written(deployment: Deployment, tmp_path: Path, name: str) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", (TASKS / name).read_text(), re.MULTILINE | re.DOTALL)
    script = "".join(blocks).replace("localhost:8000", deployment.url.removeprefix("http://"))
    script = script.replace("imsg login admin", "imsg login admin --password 123")
    if "login" not in script:
        script = f"imsg login admin --password 123\n{script}"
    (tmp_path / "people.txt").write_text("".join(f"reader{number}@example.com\n" for number in range(300)))
    (tmp_path / "notice.txt").write_text("今晚 22:00 起停电两小时。")
    environment = {**deployment.environment, "TOKEN": deployment.token()}

    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment | {"PATH": f"{IMSG.parent}:{environment['PATH']}"},
        capture_output=True,
        text=True,
        timeout=3 * VERB_TIMEOUT_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    if "--to-file" in script:
        assert '"errorCode":0' in done.stdout.replace(" ", "")
        assert list(tmp_path.glob("*.xlsx"))
