"""How the command line shows answers, refusals and errors, and the exit codes they end with."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from imsg.api import LoginRefused, Refused, Unreachable
from imsg_runtime.settings import variable

REFUSED, USAGE, UNREACHABLE = 1, 2, 3
"""Exit codes beside 0."""

NO_TOKEN = (10002, 10005)
"""The error codes of a token that is missing or has ended; 10002 of other fields never comes from a verb of ours."""

LOGIN_REMEDY = (
    f"{variable('username')} and {variable('password')} are not let in. If the password was changed since the first "
    f"start, give the present one: docker compose run --rm -e {variable('password')} cli …"
)
"""What to do where the account of the settings is refused; in a container nobody can keep a token."""

PIPED_WIDTH = 4_000
"""Characters of a row that no terminal shows; a table is only as wide as what stands in it."""

COLOURS = {
    "sent": "green",
    "delivered": "green",
    "failed": "red",
    "expired": "red",
    "uncertain": "yellow",
    "retrying": "yellow",
}


@contextmanager
def ending(*, as_json: bool) -> Iterator[None]:
    """End the command with the right code and words where a call does not succeed."""
    try:
        yield
    except Refused as refused:
        if as_json:
            say_json(refused.answer)
        else:
            complain(refused.words)
            if isinstance(refused, LoginRefused):
                complain(LOGIN_REMEDY)
            elif refused.answer.get("errorCode") in NO_TOKEN:
                complain("`imsg login NAME` gets a token and keeps it.")
        raise typer.Exit(REFUSED) from refused
    except Unreachable as unreachable:
        complain(f"{unreachable}. Is it running? --url, IMSG_GATEWAY_URL or IMSG_PORT says where.")
        raise typer.Exit(UNREACHABLE) from unreachable


def complain(line: str) -> None:
    """Say a line to standard error."""
    print(f"imsg: {line}", file=sys.stderr)


def warn_of_old_name(old: str, new: str) -> None:
    """Say that a verb was called by its old name."""
    complain(f"`imsg {old}` is called `imsg {new}` now; the old name works until 1.0.")


def usage(line: str) -> typer.Exit:
    """Say what is wrong with the command line; return what to raise."""
    complain(line)
    return typer.Exit(USAGE)


def lists_by_itself(context: typer.Context) -> bool:
    """Tell whether a group such as `imsg users` was called without a verb: then it lists.

    Raises a usage error where options stand before the verb: they would be the list's own, and change nothing.
    """
    if (verb := context.invoked_subcommand) is None:
        return True
    sources = (context.get_parameter_source(name) for name in context.params)
    if any(source is not None and source.name == "COMMANDLINE" for source in sources):
        raise usage(f"options come after the verb: {context.command_path} {verb} ... .")
    return False


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that can't be undone; Ctrl-C and "no" end the command.

    Raises a usage error where nobody can be asked, standard input being no terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise usage(f"{question} Nobody can be asked here: say --yes.")
    typer.confirm(question, abort=True, err=True)


def say(line: str) -> None:
    """Say a line to standard output, as it is."""
    print(line)


def say_json(answer: Mapping[str, Any]) -> None:
    """Print an answer for programs."""
    print(json.dumps(answer, ensure_ascii=False, indent=2))


def say_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table for people: cells fold rather than disappear, but for the first, which is for copying.

    Where nobody looks, behind a pipe, a row is one line, so that grep finds it whole.
    """
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    is_piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    Console(highlight=False, markup=True, width=PIPED_WIDTH if is_piped else None).print(table)


def local(time: object) -> str:
    """Write an RFC 3339 time by the clock of whoever reads."""
    if not isinstance(time, str):
        return ""
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%m-%d %H:%M:%S")
    except ValueError:
        return time


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value).replace("[", r"\[")
    colour = COLOURS.get(text)
    return f"[{colour}]{text}[/{colour}]" if colour else text
