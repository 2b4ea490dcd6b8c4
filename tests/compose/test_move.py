"""From one container to several services, by the commands of docs/install.md."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from imsg_testing.api import Api
from imsg_testing.compose import ROOT, UP_TIMEOUT_S, Containers
from imsg_testing.one_container import IMAGE, OneContainer, build, docker
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(1_800)

MAIL = {"method": "smtp", "content": {"subject": "hello", "text": "您好"}}


@pytest.fixture
def box() -> Iterator[OneContainer]:
    """Yield a container that does not run yet; remove it and its volume."""
    build()
    container = OneContainer()
    yield container
    container.close()


def test_the_commands_of_the_page_move_a_container_to_several_services(
    box: OneContainer, elsewhere: Containers, tmp_path: Path
) -> None:
    commands = read_commands("docs/install.md")
    assert commands == read_commands("docs/install.zh.md")
    api = box.run()
    password = docker("exec", box.name, "cat", "/data/imsg/secrets/admin_password")
    key = fill(api, password)
    before = show(api, key)
    docker("stop", "--time", "60", box.name)
    tmp_path.chmod(0o755)
    backups = tmp_path / "backups"
    backups.mkdir()
    backups.chmod(0o777)
    docker("run", "--rm", "-v", f"{box.name}:/data", "-v", f"{backups}:/backups", IMAGE, "export", "/backups/move")

    commands = commands.replace("/backups/move", f"{backups}/move").replace("make up", "")
    told = elsewhere.run("sh", "-ec", commands if os.geteuid() else commands.replace("sudo ", ""), timeout_s=600)
    elsewhere.compose("up", "--detach", "--build", "--wait", timeout_s=UP_TIMEOUT_S)

    assert told.count("imported, and equal") == 6, told
    moved = Api(str(elsewhere.client.base_url))
    with moved.client:
        assert show(moved, key) == before
        sent = moved.call("POST", "/api/v2/messages", {"token": key, "to": "new@example.com", **MAIL})
    assert sent["errorCode"] == 0, sent
    assert elsewhere.secret("auth", "admin_password") == password
    assert "smtp" in elsewhere.compose("run", "--rm", "--no-deps", "-T", "cli", "channels", "list")


def read_commands(page: str) -> str:
    """Return the commands of the page that move one box to the containers of this repository."""
    blocks = (ROOT / page).read_text().split("```sh\n")
    (found,) = (block.partition("```")[0] for block in blocks if "imsg import /move" in block)
    return found


def fill(api: Api, password: str) -> str:
    """Send a message and schedule another; return the key that they were sent by."""
    token = api.call("POST", "/api/v2/login", {"username": "admin", "password": password})["token"]
    asked = {"name": "a program", "kind": "live", "scopes": ["send:smtp", "query"]}
    key: str = api.call("POST", "/api/v2/keys", {"token": token, **asked})["key"]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for more in ({"to": "you@example.com"}, {"to": "later@example.com", "send_at": tomorrow}):
        answer = api.call("POST", "/api/v2/messages", {"token": key, **more, **MAIL})
        assert answer["errorCode"] == 0, answer
    wait(lambda: sorted(message["status"] for message in show(api, key)["messages"]) == ["scheduled", "sent"], 60)
    return key


def show(api: Api, key: str) -> dict[str, Any]:
    """Return the messages, and when the scheduled one is due."""
    shown = {what: api.call("GET", f"/api/v2/{what}", token=key)[what] for what in ("messages", "requests")}
    assert shown["messages"]
    return shown
