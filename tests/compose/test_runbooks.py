"""Runbooks and the troubleshooting page with containers: their commands work as written."""

import re
from pathlib import Path

import pytest

from imsg_channels import CHANNELS, METHODS
from imsg_testing.command_line import run_imsg
from imsg_testing.compose import ROOT, Containers
from imsg_testing.service import environment

pytestmark = pytest.mark.timeout(1_200)

WORDS = ("imsg ", "docker ", "make ", "df ", "date ")
"""How a command of the manual begins."""


def read_commands() -> dict[str, str]:
    """Return the title of each entry of the manual → its first command; each runbook → the commands of its block."""
    page = (ROOT / "docs/operations.md").read_text()
    (section,) = re.findall(r"^## Troubleshooting\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    entries = re.findall(r"^\*\*(.+?)\*\*(.*)$", section, re.MULTILINE)
    commands = {title: re.findall(r"`([^`]+)`", text) for title, text in entries}
    first = {title: next((line for line in found if line.startswith(WORDS)), "") for title, found in commands.items()}
    runbooks = {
        path.stem: re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)[0]
        for path in sorted((ROOT / "docs/runbooks").glob("Imsg*[a-z].md"))
        if ".zh" not in path.name
    }
    # There is no terminal here.
    return first | {name: text.replace("run --rm cli", "run --rm -T cli") for name, text in runbooks.items()}


RUNBOOKS = read_commands()

CHECK = ("providers", "check")

TITLES = [channel.titles.en for channel in CHANNELS]


@pytest.fixture(scope="module")
def imsg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the manual's alias a program: there is no terminal here."""
    program = tmp_path_factory.mktemp("bin") / "imsg"
    program.write_text('#!/bin/sh\nexec docker compose run --rm -T cli "$@"\n')
    program.chmod(0o755)
    return program


def test_every_entry_has_a_first_command() -> None:
    assert len(RUNBOOKS) > 20
    assert [title for title, command in RUNBOOKS.items() if not command] == []


@pytest.mark.parametrize("title", RUNBOOKS)
def test_the_commands_of_an_entry_work_with_the_containers(containers: Containers, imsg: Path, title: str) -> None:
    containers.run("sh", "-ec", f'PATH="{imsg.parent}:$PATH"; {RUNBOOKS[title]}')


def test_the_doctor_asks_what_runs_and_guesses_nothing(containers: Containers, imsg: Path) -> None:
    output = containers.run(str(imsg), "doctor")

    rows = {line.split("  ")[1].strip(): line[0] for line in output.partition("remedy")[2].splitlines() if line.strip()}
    apps = ("gateway", "auth", "history", "callbacks", "catalog", "scheduler")
    running = ("iMSG", *apps, *(f"sender-{method}" for method in METHODS), *TITLES, "broker", "Redis")
    assert rows.items() >= dict.fromkeys(running, "✓").items()
    assert "embedded" not in output
    assert "SQLite" not in output


def test_the_doctor_outside_the_containers_guesses_nothing_either(containers: Containers, tmp_path: Path) -> None:
    given = environment({"IMSG_PORT": str(containers.port), "XDG_CONFIG_HOME": str(tmp_path)})
    result = run_imsg("doctor", env=given, cwd=tmp_path).stdout

    assert re.search(r"^✓ +iMSG +ready", result, re.MULTILINE)
    assert re.search(r"^✗ +log-in .*docker compose run --rm cli doctor", result, re.MULTILINE)
    assert "embedded" not in result
    assert "SQLite" not in result


def test_commands_that_need_a_services_settings_work_or_name_where_they_do(containers: Containers, imsg: Path) -> None:
    checked = containers.run("docker", "compose", "run", "--rm", "-T", "-e", "COLUMNS=200", "cli", *CHECK)
    assert re.findall(r"^(.) +(smtp|sms|wechat|wecom)", checked, re.MULTILINE) == [
        ("✓", "smtp"),
        ("✓", "sms"),
        ("✓", "wechat"),
        ("✓", "wecom"),
    ]

    for words, remedy in {
        ("wechat", "menu"): "sender-wechat python -m imsg_wechat menu",
        ("users", "reset-password", "admin", "--password", "x"): "auth python -m imsg_auth reset-password admin",
        ("backup", "/tmp/backup"): "make backup",  # noqa: S108
    }.items():
        with pytest.raises(AssertionError, match=re.escape(remedy)):
            containers.run(str(imsg), *words)


def test_the_doctor_names_a_service_that_is_away(containers: Containers, imsg: Path) -> None:
    containers.compose("stop", "catalog", "sender-sms")
    try:
        containers.wait(lambda: "no sender consumes it" in examine(containers, imsg))
        told = examine(containers, imsg)
    finally:
        containers.compose("up", "--detach", "--wait", "--no-build", timeout_s=300)

    assert re.search(r"^✗ +catalog .*make ps", told, re.MULTILINE)
    assert re.search(r"^✗ +scheduler .*make ps", told, re.MULTILINE), "it is in catalog's container"
    assert re.search(r"^✗ +SMS +no sender consumes it.*make ps", told, re.MULTILINE)
    assert re.search(r"^✓ +history +1 replica ready", told, re.MULTILINE)


def test_the_command_shows_what_to_do_once_the_password_was_changed(containers: Containers) -> None:
    with pytest.raises(AssertionError, match="run --rm -e IMSG_PASSWORD cli"):
        containers.compose("run", "--rm", "-T", "-e", "IMSG_PASSWORD=not-this-one", "cli", "users", "list")


def test_a_forgotten_password_is_reset_where_the_users_are(containers: Containers) -> None:
    user = {"username": "forgetful", "password": "the-first-one", "token": containers.token}
    assert containers.call("POST", "/api/register", user)["errorCode"] == 0

    reset = "echo the-second-one | docker compose run --rm -T auth python -m imsg_auth reset-password"
    output = containers.run("sh", "-c", f"{reset} forgetful")

    assert "forgetful has a new password" in output
    assert containers.log_in("forgetful", "the-second-one")
    with pytest.raises(AssertionError, match="nobody"):
        containers.run("sh", "-c", f"{reset} nobody")


def examine(containers: Containers, imsg: Path) -> str:
    """Run `imsg doctor`, well or not; return what it says."""
    return containers.run("sh", "-c", f'PATH="{imsg.parent}:$PATH"; imsg doctor || true')
