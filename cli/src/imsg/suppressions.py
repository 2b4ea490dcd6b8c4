"""`imsg suppressions`: list, add, remove, import and export suppressions (administrators)."""

import csv
import io
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.counting import counting
from imsg.location import find_url
from imsg.output import confirm, ending, listing_group, local, print_json, print_line, print_table, usage
from imsg.verbs import Json, Url, segment
from imsg_channels import METHODS
from imsg_contract.suppressions import Reason
from imsg_runtime.lines import fill

PATH = "/api/v2/suppressions"
BATCH = 1_000
"""The most addresses that the API takes at once."""

HEADING_ROWS = 10
"""The first rows of a file, one of which may be its heading: some sheets have titles above it."""

COLUMNS = ("method", "to", "reason", "sender", "category", "until", "note")
"""The columns of a file that `import` reads."""

MORE_COLUMNS = ("evidence", "message", "added_by", "created_at", "id")

app = listing_group("The suppression list: list, add, remove, export, import.")

Method = Annotated[str | None, typer.Option(help="Only those of this channel.")]
Why = Annotated[str | None, typer.Option(help=f"Only those of this reason: {', '.join(Reason)}.")]
To = Annotated[str | None, typer.Option(help="Only those whose address holds this.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@app.command("list")
def list_all(  # noqa: PLR0917  as above
    limit: Limit = 50,
    method: Method = None,
    reason: Why = None,
    to: To = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """List suppressions, newest first."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.collect(PATH, "suppressions", _filters(method, reason, to), limit)
    if as_json:
        print_json(answer)
        return
    if not answer["suppressions"]:
        print_line("No suppressions.")
        return
    rows = [
        (row["id"], row["method"], row["to"], row["reason"], _scope(row), local(row["created_at"]), row["evidence"])
        for row in answer["suppressions"]
    ]
    print_table(("id", "channel", "to", "reason", "scope", "since", "evidence"), rows)
    if answer["next"] is not None:
        print_line("There are more; --limit shows them.")


@app.command()
def add(  # noqa: PLR0917  as above
    method: Annotated[str, typer.Argument(help=f"{', '.join(METHODS)}.")],
    addresses: Annotated[list[str], typer.Argument(metavar="TO...", help="Addresses.")],
    reason: Annotated[str, typer.Option(help=f"{', '.join(Reason)}.")] = Reason.OPT_OUT.value,
    sender: Annotated[str | None, typer.Option(help="Only messages of this sender, signature or account.")] = None,
    category: Annotated[str | None, typer.Option(help="Only code, notice or marketing.")] = None,
    until: Annotated[str | None, typer.Option(help="When it ends (RFC 3339); default: never.")] = None,
    note: Annotated[str | None, typer.Option(help="Why, in your words.")] = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Suppress addresses: iMSG sends nothing to them any more."""
    row = {"method": method, "reason": reason, "sender": sender, "category": category, "until": until, "note": note}
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", PATH, {**_body(row), "to": addresses if len(addresses) > 1 else addresses[0]})
    if as_json:
        print_json(answer)
        return
    _report(answer)


@app.command()
def remove(
    suppressions: Annotated[list[str], typer.Argument(metavar="ID...", help="As `imsg suppressions` lists them.")],
    yes: Yes = False,  # noqa: FBT002
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Remove suppressions: iMSG sends to these addresses again."""
    confirm(fill("Send to {0} again?", len(suppressions)), yes=yes)
    with ending(as_json=as_json), connect(find_url(url)) as api:
        for name in suppressions:
            answer = api.call("DELETE", f"{PATH}/{segment(name)}")
            if not as_json:
                print_line(fill("{0}: removed", name))
    if as_json:
        print_json(answer)


@app.command("export")
def write(
    file: Annotated[Path, typer.Argument(help="A new CSV file; - for standard output.")],
    method: Method = None,
    reason: Why = None,
    to: To = None,
    url: Url = None,
) -> None:
    """Write suppressions to a CSV file, which `import` reads; the web page writes workbooks (.xlsx)."""
    if str(file) != "-" and file.exists():
        raise usage(fill("{0} is there already; name a file that is not.", file))
    with ending(as_json=False), connect(find_url(url)) as api:
        text = io.StringIO(newline="")
        out = csv.DictWriter(text, (*COLUMNS, *MORE_COLUMNS), extrasaction="ignore")
        out.writeheader()
        count = 0
        for row in api.iterate(PATH, "suppressions", _filters(method, reason, to)):
            scope = row["scope"] or {}
            out.writerow({name: _escape(value) for name, value in {**row, **scope}.items()})
            count += 1
    if str(file) == "-":
        sys.stdout.write(text.getvalue())
        return
    file.write_text("\ufeff" + text.getvalue(), encoding="utf-8", newline="")
    print_line(fill("{0}: {1} suppressions.", file, count))


@app.command("import")
def read(
    file: Annotated[Path, typer.Argument(help="A CSV file with the columns " + ", ".join(COLUMNS) + "; or addresses.")],
    method: Annotated[str, typer.Option(help="The channel of rows that name none.")] = "smtp",
    reason: Annotated[str, typer.Option(help="The reason of rows that name none.")] = Reason.OPT_OUT.value,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Suppress the addresses of a file: a CSV file as `export` writes it, or one address a line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise usage(fill("{0} can't be read as UTF-8 text: {1}.", file, error)) from error
    added = known = wrong = 0
    problems: list[Mapping[str, str]] = []
    with ending(as_json=as_json), connect(find_url(url)) as api, counting("suppressions") as count:
        for body, addresses in _groups(text, {"method": method, "reason": reason}):
            for first in range(0, len(addresses), BATCH):
                answer = api.call("POST", PATH, {**body, "to": addresses[first : first + BATCH]})
                added, known = added + answer["added"], known + answer["known"]
                wrong, problems = wrong + answer["problems_total"], [*problems, *answer["problems"]]
                count(len(addresses[first : first + BATCH]))
    total = {"errorCode": 0, "added": added, "known": known, "problems_total": wrong, "problems": problems}
    if as_json:
        print_json(total)
    else:
        _report(total)
    if wrong:
        raise typer.Exit(1)


def _groups(text: str, defaults: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Read the rows of a CSV file; yield each body for the API with all addresses that it holds for."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    lowered = [[cell.strip().lower() for cell in row] for row in rows[:HEADING_ROWS]]
    at = next((number for number, row in enumerate(lowered) if "to" in row), None)
    names, rows = (["to"], rows) if at is None else (lowered[at], rows[at + 1 :])
    groups: dict[tuple[str, ...], tuple[dict[str, Any], list[str]]] = {}
    for cells in rows:
        row = {name: cell.strip().removeprefix("'") for name, cell in zip(names, cells, strict=False)}
        if not (to := row.get("to", "")):
            continue
        full = {name: row.get(name) or defaults.get(name) for name in COLUMNS if name != "to"}
        key = tuple(str(full[name]) for name in sorted(full))
        groups.setdefault(key, (_body(full), []))[1].append(to)
    yield from groups.values()


def _body(row: Mapping[str, str | None]) -> dict[str, Any]:
    body: dict[str, Any] = {name: row[name] for name in ("method", "reason", "until", "note") if row.get(name)}
    if row.get("sender") or row.get("category"):
        body["scope"] = {"sender": row.get("sender") or None, "category": row.get("category") or None}
    return body


def _filters(method: str | None, reason: str | None, to: str | None) -> dict[str, str]:
    return {name: value for name, value in (("method", method), ("reason", reason), ("to", to)) if value}


def _scope(suppression: Mapping[str, Any]) -> str:
    scope = suppression["scope"]
    if scope is None:
        return ""
    return " ".join(part for part in (scope["sender"], scope["category"]) if part)


def _escape(value: object) -> object:
    """Return text that a spreadsheet would run as a formula with an apostrophe, which `import` removes again."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _report(answer: Mapping[str, Any]) -> None:
    print_line(fill("{0} added, {1} already listed.", answer["added"], answer["known"]))
    for problem in answer["problems"]:
        print_line(f"{problem['to']}: {problem['detail']}")
    if answer["problems_total"] > len(answer["problems"]):
        print_line(fill("… and {0} more.", answer["problems_total"] - len(answer["problems"])))
