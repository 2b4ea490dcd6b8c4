"""A strict Java client, which throws on unknown keys and on statuses from 400, calls all five URLs."""

import os
import re
import secrets
import subprocess
from pathlib import Path

import pytest

from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.long

SOURCE = Path(__file__).parent / "java" / "Strict.java"
PAGE = Path(__file__).parents[2] / "docs" / "java.zh.md"

JARS = Path("/usr/share/java")
"""Where Debian's libjackson2-databind-java puts it and what it needs."""

CLASSPATH = ":".join(str(JARS / f"jackson-{part}.jar") for part in ("annotations", "core", "databind"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the client."""
    folder = tmp_path_factory.mktemp("classes")
    command = ["javac", "-encoding", "UTF-8", "-cp", CLASSPATH, "-d", str(folder), str(SOURCE)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return folder


def test_jacksons_default_mapper_goes_through_all_five(deployment: Deployment, classes: Path) -> None:
    name = f"李伟{secrets.token_hex(4)}"
    command = ["java", "-Dfile.encoding=UTF-8", "-XX:TieredStopAtLevel=1", "-cp", f"{CLASSPATH}:{classes}", "Strict"]
    ran = subprocess.run([*command, deployment.url, name], capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    calls = re.fullmatch(r"(\d+) calls\n", ran.stdout)
    assert calls
    assert int(calls[1]) > 35


def test_the_pages_program_runs_as_it_stands(deployment: Deployment, tmp_path: Path) -> None:
    (program, *_) = re.findall(r"^```java\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "SendMail.java").write_text(program, encoding="utf-8")
    (tmp_path / "会议 纪要.txt").write_text("会议纪要\n", encoding="utf-8")
    key = deployment.new_key("send:smtp", "query")
    command = ["java", "-Dfile.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8", "-cp", CLASSPATH, "SendMail.java"]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "GATEWAY_KEY": key}

    ran = subprocess.run(
        [*command, deployment.url, "会议 纪要.txt"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "共 2 条" in ran.stdout
    assert "zhang@example.com sent" in ran.stdout
    mail = deployment.wait_arrived(to="wang@example.com", subject="会议纪要")
    assert [file["filename"] for file in mail["attachments"]] == ["会议 纪要.txt"]
