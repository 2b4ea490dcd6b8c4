"""The help of the command in both languages, and tables on a narrow terminal."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

from imsg.command import app
from imsg.help_texts import FILE, find_key, split_verbs, translate
from imsg.output import print_table

CHINESE = re.compile(r"[\u3400-\u9fff]")


@pytest.fixture
def command() -> TyperGroup:
    """Build the command anew: a test changes its texts."""
    built = typer.main.get_command(app)
    assert isinstance(built, TyperGroup)
    return built


def walk(command: object) -> Iterator[TyperCommand | TyperGroup]:
    assert isinstance(command, TyperCommand | TyperGroup)
    yield command
    if isinstance(command, TyperGroup):
        for subcommand in command.commands.values():
            yield from walk(subcommand)


def test_the_help_of_a_group_names_its_verbs(command: TyperGroup) -> None:
    groups = [
        subcommand for subcommand in walk(command) if isinstance(subcommand, TyperGroup) and subcommand is not command
    ]

    assert len(groups) > 10
    assert {group.name: group.help for group in groups if not split_verbs(group)[1]} == {}


def test_every_text_stands_in_chinese_and_no_other(command: TyperGroup) -> None:
    listed = list(walk(command))
    texts = {split_verbs(listed_command)[0] for listed_command in listed}
    texts |= {find_key(getattr(parameter, "help", None) or "") for command in listed for parameter in command.params}
    known = json.loads(FILE.read_text())

    assert sorted(texts - {"", *known}) == []
    assert sorted(set(known) - texts) == ["Show this message and exit."]
    translate(command)
    assert [command.name for command in listed if not CHINESE.search(command.help or "")] == []


def test_a_table_wider_than_the_terminal_shows_each_row_below_its_first_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(("id", "to", "why"), [("0193643f5a7c7d3e8f1a2b3c4d5e6f70-0", "zhang@example.com", "a reason " * 9)])
    wide = capsys.readouterr().out.splitlines()
    print_table(("id", "to"), [("1", "zhang@example.com")])
    narrow = capsys.readouterr().out.splitlines()

    assert wide[0] == "0193643f5a7c7d3e8f1a2b3c4d5e6f70-0"
    assert wide[1].startswith("  to zhang@example.com   why a reason")
    assert max(map(len, wide)) <= 80
    assert [line.split() for line in narrow] == [["id", "to"], ["1", "zhang@example.com"]]


def test_chinese_help_is_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch, command: TyperGroup) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    translate(command)

    for listed in walk(command):
        shown = "".join(listed.get_help(typer.Context(listed)).split())
        texts = [listed.help, *(getattr(parameter, "help", None) for parameter in listed.params)]
        texts += [below.short_help for below in listed.commands.values()] if isinstance(listed, TyperGroup) else []
        assert [text for text in texts if text and "".join(text.split()) not in shown] == []


def test_help_is_in_the_language_of_the_shell() -> None:
    shown = subprocess.run(  # noqa: S603  our own command
        [Path(sys.executable).with_name("imsg"), "--help"],
        env={**os.environ, "LC_ALL": "zh_CN.UTF-8", "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    assert "在本机以一个进程运行全部服务" in shown, shown
