"""A client in Java that throws on an unknown key and on any status of 400 or more goes through all five URLs."""

import re
import secrets
import subprocess
from pathlib import Path

import pytest

from imsg_testing.deployment import Deployment

pytestmark = pytest.mark.long

SOURCE = Path(__file__).parent / "java" / "Strict.java"

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
    ran = subprocess.run([*command, deployment.url, name], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    calls = re.fullmatch(r"(\d+) calls\n", ran.stdout)
    assert calls
    assert int(calls[1]) > 35
