"""`imsg prices`: list, export and replace the prices of providers (administrators)."""

import csv
import io
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import confirm, ending, listing_group, print_json, print_line, print_table, usage
from imsg.verbs import Json, Url
from imsg_runtime.lines import fill

PATH = "/api/v2/prices"
COLUMNS = ("method", "provider", "country", "per", "amount", "currency", "from")
"""The columns of a file."""

app = listing_group("Prices of providers: list, export, import.")


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the prices."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", PATH)
    if as_json:
        print_json(answer)
    elif answer["prices"]:
        print_table(COLUMNS, [tuple(price[name] or "" for name in COLUMNS) for price in answer["prices"]])
    else:
        print_line("No prices.")


@app.command("export")
def write(
    file: Annotated[Path, typer.Argument(help="A new CSV file; - for standard output.")], url: Url = None
) -> None:
    """Write the prices to a CSV file, which `import` reads."""
    if str(file) != "-" and file.exists():
        raise usage(fill("{0} is there already; name a file that is not.", file))
    with ending(as_json=False), connect(find_url(url)) as api:
        prices = api.call("GET", PATH)["prices"]
    text = io.StringIO(newline="")
    out = csv.DictWriter(text, COLUMNS)
    out.writeheader()
    out.writerows(prices)
    if str(file) == "-":
        sys.stdout.write(text.getvalue())
        return
    file.write_text("\ufeff" + text.getvalue(), encoding="utf-8", newline="")
    print_line(fill("{0}: {1} prices.", file, len(prices)))


@app.command("import")
def read(
    file: Annotated[Path, typer.Argument(help="A CSV file with the columns " + ", ".join(COLUMNS) + ".")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Replace all prices by those of a file."""
    prices = _read_file(file)
    with ending(as_json=as_json), connect(find_url(url)) as api:
        before, etag = api.read_tagged(PATH)
        known = before["prices"]
        added = sum(price not in known for price in prices)
        removed = sum(price not in prices for price in known)
        confirm(fill("Replace the prices: {0} new, {1} gone?", added, removed), yes=yes)
        answer = api.call("PUT", PATH, {"prices": prices}, headers={"If-Match": etag})
    if as_json:
        print_json(answer)
    else:
        print_line(fill("{0} prices: {1} new, {2} gone.", len(answer["prices"]), added, removed))


def _read_file(file: Path) -> list[dict[str, Any]]:
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline="")))
    except (OSError, UnicodeDecodeError) as error:
        raise usage(fill("{0} can't be read as UTF-8 text: {1}.", file, error)) from error
    if missing := [name for name in COLUMNS if not rows or name not in rows[0]]:
        raise usage(
            fill(
                "{0} lacks the columns {1}; `imsg prices export` writes a file that has them.", file, ", ".join(missing)
            )
        )
    return [_read_price(row) for row in rows]


def _read_price(row: Mapping[str, str | None]) -> dict[str, Any]:
    return {name: (row[name] or "").strip() or None for name in COLUMNS}
