"""All of iMSG in one container, as `docker run -p 8000:8000 -v imsg:/data imsg` starts it."""

import secrets
import subprocess

from imsg_testing.api import Api
from imsg_testing.compose import ROOT
from imsg_testing.servers import reserve_port
from imsg_testing.waiting import wait

IMAGE = "imsg"

UP_TIMEOUT_S = 120.0
"""A busy machine takes its time to load all of it."""


def docker(*words: str) -> str:
    """Run `docker WORDS` and return its output. Raises AssertionError with its error."""
    done = subprocess.run(["docker", *words], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def build() -> None:
    """Build the image as the README says."""
    docker("build", "--quiet", "-f", "deploy/Dockerfile", "-t", IMAGE, ".")


class OneContainer:
    """A container with a volume of its own."""

    def __init__(self) -> None:
        self.name = f"imsg-one-{secrets.token_hex(3)}"
        self.port = reserve_port(self)
        self._api = Api(f"http://127.0.0.1:{self.port}")

    def run(self) -> Api:
        """Run it as confined as Docker can; return when it is healthy."""
        confined = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        published = ("-p", f"127.0.0.1:{self.port}:8000", "-v", f"{self.name}:/data")
        docker("run", "--detach", "--name", self.name, *confined, *published, IMAGE)
        health = ("inspect", "--format", "{{.State.Health.Status}}", self.name)
        wait(lambda: docker(*health) == "healthy", UP_TIMEOUT_S)
        wait(lambda: "iMSG runs at" in self.logs, UP_TIMEOUT_S)
        return self._api

    @property
    def logs(self) -> str:
        """What it has printed."""
        return docker("logs", self.name)

    def close(self) -> None:
        """Remove it and its volume, in any state."""
        self._api.client.close()
        for words in (("rm", "--force", self.name), ("volume", "rm", self.name)):
            subprocess.run(["docker", *words], capture_output=True, timeout=120, check=False)

    def stop(self) -> int:
        """Stop and remove it, without its volume; return its exit code."""
        docker("stop", "--time", "60", self.name)
        code = int(docker("inspect", "--format", "{{.State.ExitCode}}", self.name))
        docker("rm", self.name)
        return code
