"""How the command line prints answers, refusals and errors, and its exit codes."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from typer.core import TyperGroup

from imsg.api import LoginRefused, Refused, Unreachable
from imsg.location import find_zone
from imsg.phrases import translate
from imsg_runtime.lines import fill
from imsg_runtime.settings import variable

REFUSED, USAGE, UNREACHABLE = 1, 2, 3
"""Exit codes beside 0."""

NO_TOKEN = (10002, 10005)
"""The error codes of a missing or expired token; no verb here causes 10002 by another field."""

LOGIN_REMEDY = (
    f"{variable('username')} and {variable('password')} are refused. If the password was changed since the first "
    f"start, pass the present one: docker compose run --rm -e {variable('password')} cli …"
)
"""What to do where the account of the settings is refused; a container cannot save a token."""

PIPED_WIDTH = 4_000
"""Columns of a table that goes to a pipe; it is only as wide as its cells."""

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
    """End the command with an exit code and a message where a call fails."""
    try:
        yield
    except Refused as refused:
        if as_json:
            print_json(refused.answer)
        else:
            complain(refused.words)
            if isinstance(refused, LoginRefused):
                complain(LOGIN_REMEDY)
            elif refused.answer.get("errorCode") in NO_TOKEN:
                complain("`imsg login NAME` gets a token and saves it.")
        raise typer.Exit(REFUSED) from refused
    except Unreachable as unreachable:
        complain(fill("{0}. Is it running? --url, IMSG_GATEWAY_URL or IMSG_PORT says where.", unreachable.line))
        raise typer.Exit(UNREACHABLE) from unreachable


def complain(line: str) -> None:
    """Print a line to standard error."""
    print(f"imsg: {translate(line)}", file=sys.stderr)


def usage(line: str) -> typer.Exit:
    """Print what is wrong with the command line; return the exception to raise."""
    complain(line)
    return typer.Exit(USAGE)


class ListingGroup(TyperGroup):
    """A group such as `imsg users`: without a verb it lists."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  of typer's own click
        """Insert the verb `list` where there is none.

        Raises a usage error where options come before a verb: they would belong to the list, and change nothing.
        """
        if not args or (args[0].startswith("-") and args[0] not in self.get_help_option_names(ctx)):
            if verb := next((word for word in args if word in self.commands), None):
                raise usage(fill("options come after the verb: {0} {1} ... .", ctx.command_path, verb))
            args = ["list", *args]
        return super().parse_args(ctx, args)


def listing_group(text: str) -> typer.Typer:
    """Return a group that lists by itself."""
    return typer.Typer(cls=ListingGroup, help=text, invoke_without_command=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before an action that can't be undone; Ctrl-C and "no" end the command.

    Raises a usage error where standard input is no terminal.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise usage(fill("{0} Standard input is no terminal: confirm with --yes.", translate(question)))
    typer.confirm(translate(question), abort=True, err=True)


def print_line(line: str) -> None:
    """Print a line to standard output."""
    print(translate(line))


def print_json(answer: Mapping[str, Any]) -> None:
    """Print an answer as JSON."""
    print(json.dumps(answer, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table; where it is wider than the terminal, each row as lines below its first cell, or the first two.

    A column without a name is part of the one after it.

    Into a pipe each row is one line, so that grep finds it whole.
    """
    columns = [translate(column) for column in columns]
    cells = [tuple(_cell(value) for value in row) for row in rows]
    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in cells:
        table.add_row(*row)
    is_piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    console = Console(highlight=False, markup=True, width=PIPED_WIDTH if is_piped else None)
    if Measurement.get(console, console.options.update(max_width=PIPED_WIDTH), table).maximum <= console.width:
        console.print(table)
        return
    if title:
        console.print(title)
    first = 1 if columns[0] else 2
    for row in cells:
        console.print(*row[:first], style="bold", soft_wrap=True)
        rest = [f"{name} {cell}".strip() for name, cell in zip(columns[first:], row[first:], strict=True) if cell]
        console.print(Padding("   ".join(rest), (0, 0, 0, 2)))


def local(time: object) -> str:
    """Return an RFC 3339 time in the time zone of iMSG, such as `11-29 08:15:00 +0800`."""
    if not isinstance(time, str):
        return ""
    try:
        return datetime.fromisoformat(time).astimezone(find_zone()).strftime("%m-%d %H:%M:%S %z")
    except ValueError:
        return time


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return translate("yes" if value else "no")
    text = str(value).replace("[", r"\[")
    colour = COLOURS.get(text)
    return f"[{colour}]{text}[/{colour}]" if colour else text
