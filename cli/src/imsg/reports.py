"""`imsg reports`: have reports of usage and of messages made, list and fetch them."""

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from imsg.api import Api, connect
from imsg.location import find_url, find_zone
from imsg.output import complain, ending, listing_group, local, print_json, print_line, print_table, usage
from imsg.verbs import Json, Url, segment
from imsg_runtime.lines import fill

PATH = "/api/v2/reports"
POLL_S = 0.5
MONTHS = 12

app = listing_group("Reports of usage and of messages: list, make, fetch.")

File = Annotated[Path, typer.Argument(help="A new file, .json, .csv or .xlsx; - for JSON on standard output.")]
ReportId = Annotated[str, typer.Argument(metavar="ID", help="The report's id, as `imsg reports` lists it.")]


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List your reports of the last 24 hours."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        reports = list(api.iterate(PATH, "reports", {}))
    if as_json:
        print_json({"errorCode": 0, "errorMessage": "OK", "reports": reports})
        return
    if not reports:
        print_line("No reports.")
        return
    rows = [
        (
            report["id"],
            report["kind"],
            ", ".join(report["by"]),
            local(report["since"]),
            local(report["until"]),
            report["format"],
            f"{report['state']} {report['progress']} %",
        )
        for report in reports
    ]  # fmt: skip
    print_table(("id", "kind", "by", "since", "until", "format", "state"), rows)


@app.command("make")
def make(  # noqa: PLR0917  typer reads the options from here
    file: File,
    kind: Annotated[str, typer.Option(help="usage: counts and costs; messages: a row for each message.")] = "usage",
    by: Annotated[
        list[str] | None,
        typer.Option(help="Of usage: user, department, key, method, provider, template, category, day, month."),
    ] = None,
    month: Annotated[str | None, typer.Option(help="YYYY-MM, in the time zone of IMSG_TIMEZONE.")] = None,
    since: Annotated[str | None, typer.Option(help="In place of a month: RFC 3339 with its offset.")] = None,
    until: Annotated[str | None, typer.Option(help="The end, not included.")] = None,
    where: Annotated[
        list[str] | None, typer.Option("--filter", metavar="NAME=VALUE", help="Such as method=sms. Repeatable.")
    ] = None,
    url: Url = None,
) -> None:
    """Make a report, wait for it, and write it to a file."""
    to_stdout = str(file) == "-"
    if not to_stdout and file.exists():
        raise usage(fill("{0} is there already; name a file that is not.", file))
    body = {
        "kind": kind,
        "by": by or [],
        "format": "json" if to_stdout else file.suffix.removeprefix("."),
        "filters": _read_filters(where or []),
        **_read_span(month, since, until),
    }
    with ending(as_json=False), connect(find_url(url)) as api:
        name = str(api.call("POST", PATH, body)["id"])
        _wait(api, name)
        _write(api, name, file)


@app.command("fetch")
def fetch(name: ReportId, file: File, url: Url = None) -> None:
    """Write a report that is done, or once it is, to a file."""
    if str(file) != "-" and file.exists():
        raise usage(fill("{0} is there already; name a file that is not.", file))
    with ending(as_json=False), connect(find_url(url)) as api:
        _wait(api, name)
        _write(api, name, file)


def _wait(api: Api, name: str) -> None:
    """Wait until a report is done. After Ctrl-C `imsg reports fetch` gets it later."""
    shown = 0
    while (report := api.call("GET", f"{PATH}/{segment(name)}"))["state"] in ("waiting", "running"):
        if report["progress"] >= shown + 10:
            shown = report["progress"]
            complain(fill("report {0}: {1} %, {2} rows", name, shown, f"{report['rows']:,}"))
        time.sleep(POLL_S)
    if report["state"] != "done":
        complain(fill("report {0} could not be made; the log of history says why.", name))
        raise typer.Exit(1)


def _write(api: Api, name: str, file: Path) -> None:
    body = api.fetch(f"{PATH}/{segment(name)}/file")
    if str(file) == "-":
        sys.stdout.write(body.decode())
        return
    file.write_bytes(body)
    print_line(fill("{0}: {1} bytes.", file, f"{len(body):,}"))


def _read_filters(given: list[str]) -> dict[str, str]:
    filters = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise usage(fill("--filter {0}: write NAME=VALUE, such as method=sms.", text))
        filters[name] = value
    return filters


def _read_span(month: str | None, since: str | None, until: str | None) -> dict[str, Any]:
    if (month is None) == (since is None and until is None):
        raise usage("say when: --month 2026-10, or --since and --until.")
    if month is None:
        return {name: value for name, value in (("since", since), ("until", until)) if value is not None}
    try:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=find_zone())
    except ValueError as error:
        raise usage(fill("--month {0}: write a year and a month, such as 2026-10.", month)) from error
    years, after = divmod(first.month, MONTHS)
    end = first.replace(year=first.year + years, month=after + 1)
    return {"since": first.isoformat(), "until": end.isoformat()}
