"""All of iMSG in one container: `docker run -p 8000:8000 -v imsg:/data imsg`."""

import re
import secrets
import subprocess
from collections.abc import Iterator

import pytest

from imsg_testing.api import Api
from imsg_testing.compose import ROOT
from imsg_testing.servers import reserve_port
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.timeout(900)]

UP_TIMEOUT_S = 120.0
"""A busy machine takes its time to load all of it."""


def _docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    """Build the image as the README says."""
    _docker("build", "--quiet", "-f", "deploy/Dockerfile", "-t", "imsg", ".")
    return "imsg"


class OneContainer:
    """A container with a volume of its own."""

    def __init__(self, image: str) -> None:
        self.name = f"imsg-one-{secrets.token_hex(3)}"
        self.port = reserve_port(self)
        self._image = image
        self._api = Api(f"http://127.0.0.1:{self.port}")

    def run(self) -> Api:
        """Run it as confined as Docker can; return when it is healthy."""
        confined = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
        published = ("-p", f"127.0.0.1:{self.port}:8000", "-v", f"{self.name}:/data")
        _docker("run", "--detach", "--name", self.name, *confined, *published, self._image)
        health = ("inspect", "--format", "{{.State.Health.Status}}", self.name)
        wait(lambda: _docker(*health) == "healthy", UP_TIMEOUT_S)
        wait(lambda: "iMSG runs at" in self.logs, UP_TIMEOUT_S)
        return self._api

    @property
    def logs(self) -> str:
        """What it has printed."""
        return _docker("logs", self.name)

    def close(self) -> None:
        """Remove it and its volume, in any state."""
        self._api.client.close()
        for words in (("rm", "--force", self.name), ("volume", "rm", self.name)):
            subprocess.run(["docker", *words], capture_output=True, timeout=120, check=False)

    def stop(self) -> int:
        """Stop and remove it, without its volume; return its exit code."""
        _docker("stop", "--time", "60", self.name)
        code = int(_docker("inspect", "--format", "{{.State.ExitCode}}", self.name))
        _docker("rm", self.name)
        return code


@pytest.fixture
def container(image: str) -> Iterator[OneContainer]:
    """Yield a container that does not run yet; remove it and its volume."""
    one = OneContainer(image)
    yield one
    one.close()


def test_it_sends_a_mail_without_root_and_keeps_it_in_its_volume(container: OneContainer) -> None:
    api = container.run()
    assert _docker("exec", container.name, "id", "-u") != "0"
    (reading,) = set(re.findall(r"docker exec \w+ cat \S+admin_password", container.logs))
    password = _docker(*reading.split()[1:])
    token = api.call("POST", "/api/v2/login", {"username": "admin", "password": password})["token"]
    mail = {"to": "you@example.com", "method": "smtp", "content": {"subject": "hello", "text": "您好"}}
    sent = api.call("POST", "/api/v2/messages", {"token": token, **mail})
    path = f"/api/v2/messages?request={sent['id']}"
    wait(lambda: [one["status"] for one in api.call("GET", path, token=token)["messages"]] == ["sent"], 60)

    _docker("exec", container.name, "imsg", "login", "admin", "--password", password)
    assert "you@example.com" in _docker("exec", container.name, "imsg", "query")

    assert container.stop() == 0
    container.run()

    token = api.call("POST", "/api/v2/login", {"username": "admin", "password": password})["token"]
    assert [one["to"] for one in api.call("GET", path, token=token)["messages"]] == ["you@example.com"]
