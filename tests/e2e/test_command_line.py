"""The command line keeps its word: its verbs, where it finds iMSG, and what it asks before it can't be undone."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from imsg_testing.stack import IMSG, Stack, running

LONG = 520
"""More users than the API lists at once (500)."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run an iMSG whose port stands in `.env` alone, as an installation's does."""
    with running(tmp_path_factory.mktemp("command")) as opened:
        opened.open_wide()
        (opened.folder / ".env").write_text(f"IMSG_PORT={opened.port}\nIMSG_DATA_DIR={opened.data}\n")
        done = call(opened, "login", "admin", "--password", "123")
        assert done.returncode == 0, done.stderr
        yield opened


def call(stack: Stack, *words: str, terminal: int = subprocess.DEVNULL) -> "subprocess.CompletedProcess[str]":
    """Run a verb in the folder of the installation, told nothing of where it is."""
    unsaid = ("IMSG_GATEWAY_URL", "IMSG_PORT", "IMSG_DATA_DIR", "COLUMNS")
    own = {name: value for name, value in stack.environment.items() if name not in unsaid}
    return subprocess.run(
        [str(IMSG), *words],
        env={**own, "LANG": "C.UTF-8"},
        cwd=stack.folder,
        stdin=terminal,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_verb_finds_imsg_at_the_port_of_the_settings(stack: Stack) -> None:
    for words in (["query"], ["users"], ["channels"], ["dead-letters"], ["send", "a@example.com", "--subject", "x"]):
        done = call(stack, *words, *(["--text", "y"] if words[0] == "send" else []))
        assert done.returncode == 0, (words, done.stderr)
    assert f"ready at {stack.url}" in call(stack, "doctor").stdout


def test_a_port_of_the_environment_comes_before_that_of_the_file(stack: Stack) -> None:
    done = subprocess.run(
        [str(IMSG), "query"],
        env={**{k: v for k, v in stack.environment.items() if k != "IMSG_GATEWAY_URL"}, "IMSG_PORT": "1"},
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "http://127.0.0.1:1 " in done.stderr
    assert "IMSG_PORT" in done.stderr


@pytest.mark.parametrize("group", ["users", "channels", "dead-letters"])
def test_a_group_lists_with_and_without_its_verb(stack: Stack, group: str) -> None:
    bare, spelled = call(stack, group, "--json"), call(stack, group, "list", "--json")
    assert bare.returncode == spelled.returncode == 0, spelled.stderr
    assert bare.stdout == spelled.stdout

    done = call(stack, group, "--json", "list")
    assert (done.returncode, done.stdout) == (2, ""), "an option that would change nothing is not swallowed"
    assert f"imsg {group} list" in done.stderr


@pytest.mark.parametrize(("old", "new"), [(("dead", "--json"), "dead-letters"), (("unread",), "config check")])
def test_an_old_verb_works_on_and_names_the_new_one(stack: Stack, old: tuple[str, ...], new: str) -> None:
    spelled = call(stack, *new.split(), *old[1:])
    done = call(stack, *old)
    assert (done.returncode, done.stdout) == (0, spelled.stdout)
    assert f"`imsg {old[0]}` is called `imsg {new}` now" in done.stderr
    assert f" {old[0]} " not in call(stack, "--help").stdout


def test_users_are_listed_to_the_last(stack: Stack) -> None:
    for n in range(LONG):
        stack.call("POST", "/api/register", {"username": f"u{n:04}", "password": "correct horse"}, token=stack.token())
    listed = json.loads(call(stack, "users", "list", "--json").stdout)["users"]
    assert {f"u{n:04}" for n in range(LONG)} <= {user["username"] for user in listed}
    rows = call(stack, "users", "list").stdout.splitlines()
    assert len(rows) == len(listed) + 1, "behind a pipe a user is a line"


def test_nobody_is_deleted_unasked(stack: Stack) -> None:
    call(stack, "users", "create", "王小明", "--password", "correct horse")

    done = call(stack, "users", "delete", "王小明")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--yes" in done.stderr
    assert "王小明" in call(stack, "users").stdout

    for typed, code, is_left in ((b"n\n", 1, True), (b"y\n", 0, False)):
        ours, theirs = pty.openpty()
        os.write(ours, typed)
        done = call(stack, "users", "delete", "王小明", terminal=theirs)
        os.close(theirs)
        os.close(ours)
        assert done.returncode == code, done.stderr
        assert ("王小明" in call(stack, "users").stdout) == is_left

    call(stack, "users", "create", "李四", "--password", "correct horse")
    assert call(stack, "users", "delete", "李四", "--yes").stdout == "李四 is deleted.\n"


def test_recipients_a_day_are_set_and_lifted(stack: Stack) -> None:
    def limit() -> int | None:
        listed = json.loads(call(stack, "users", "--json").stdout)["users"]
        found: int | None = next(user["recipients_per_day"] for user in listed if user["username"] == "limited")
        return found

    made = ("users", "create", "limited", "--password", "correct horse", "--recipients-per-day", "2")
    assert call(stack, *made).returncode == 0
    assert limit() == 2
    token = stack.call("POST", "/api/login", {"username": "limited", "password": "correct horse"})["token"]
    refused = stack.call(
        "POST",
        "/api/send",
        {"to": [f"r{n}@example.com" for n in range(3)], "method": "smtp", "content": {"subject": "s", "text": "t"}},
        token=token,
    )
    assert refused["errorCode"] == 10013

    assert call(stack, "users", "set", "limited", "--recipients-per-day", "none").returncode == 0
    assert limit() is None
    done = call(stack, "users", "set", "limited", "--recipients-per-day", "viele")
    assert (done.returncode, "whole number or none" in done.stderr) == (2, True)
    done = call(stack, "users", "set", "limited")
    assert (done.returncode, "nothing to change" in done.stderr) == (2, True)


def test_it_says_its_version(stack: Stack) -> None:
    assert call(stack, "--version").stdout == f"imsg {version('imsg')}\n"


def test_who_has_no_token_is_told_how_to_get_one(stack: Stack, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(IMSG), "query"],
        env={**stack.environment, "XDG_CONFIG_HOME": str(tmp_path)},
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "imsg login NAME" in done.stderr
