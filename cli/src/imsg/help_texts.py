"""The help of the command in Chinese: `help.zh.json` has each English text with its translation."""

import json
from pathlib import Path

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from imsg.verbs import METHOD_NAMES
from imsg_channels import METHODS

FILE = Path(__file__).with_name("help.zh.json")


def translate(command: object) -> None:
    """Replace the English texts of a command and its subcommands by the Chinese ones.

    They are shown without frames: rich breaks lines at blanks alone, and cuts a longer text.
    """
    _translate(command, json.loads(FILE.read_text(encoding="utf-8")))


def find_key(text: str) -> str:
    """Return the text's key in the file: without the verbs of a group, and without the names of channels."""
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
    command.help = texts.get(head, head) + (f"：{verbs.rstrip('.')}。" if verbs else "")
    command.short_help, *_ = command.help.split("\n\n")
    command.rich_markup_mode = None
    for parameter in (*command.params, command.get_help_option(typer.Context(command))):
        if isinstance(parameter, TyperArgument | TyperOption) and parameter.help:
            text = texts.get(find_key(parameter.help), parameter.help)
            parameter.help = text.replace("METHODS", "、".join(METHODS))
    if isinstance(command, TyperGroup):
        for subcommand in command.commands.values():
            _translate(subcommand, texts)
