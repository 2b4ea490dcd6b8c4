"""The help of the command in Chinese: `help.zh.json` has each English text with its translation."""

import json
import re
from pathlib import Path

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from imsg.verbs import METHOD_NAMES
from imsg_channels import METHODS

FILE = Path(__file__).with_name("help.zh.json")

_MARK = re.compile(r"([，；、：。])(?=.)")
"""Rich breaks lines at blanks alone, and cuts what is longer."""

PANELS = {"argument": "参数", "option": "选项"}


def translate(command: object) -> None:
    """Put the Chinese texts in place of the English ones, in a command and all below it."""
    _translate(command, json.loads(FILE.read_text(encoding="utf-8")))


def find_key(text: str) -> str:
    """Return the text as it is in the file: without the verbs of a group, and without the names of channels."""
    return text.replace(METHOD_NAMES, "METHODS").replace(", ".join(METHODS) + ".", "METHODS")


def split_verbs(command: TyperCommand | TyperGroup) -> tuple[str, str]:
    """Return the help of a command, and the verbs that it lists where it is a group."""
    text = command.help or ""
    if not isinstance(command, TyperGroup) or not text.endswith(f"{', '.join(command.commands)}."):
        return text, ""
    head, _, verbs = text.partition(": ")
    return head, verbs


def _translate(command: object, texts: dict[str, str]) -> None:
    if not isinstance(command, TyperCommand | TyperGroup):
        return
    head, verbs = split_verbs(command)
    command.help = texts.get(head, head) + (f"：{verbs.rstrip('.').replace(', ', '、')}。" if verbs else "")
    command.short_help = _MARK.sub(r"\1 ", command.help)
    command.rich_help_panel = "命令"
    for parameter in (*command.params, command.get_help_option(typer.Context(command))):
        if isinstance(parameter, TyperArgument | TyperOption) and parameter.help:
            text = texts.get(find_key(parameter.help), parameter.help)
            parameter.help = _MARK.sub(r"\1 ", text.replace("METHODS", "、".join(METHODS)))
            parameter.rich_help_panel = PANELS[parameter.param_type_name]
    if isinstance(command, TyperGroup):
        for subcommand in command.commands.values():
            _translate(subcommand, texts)
