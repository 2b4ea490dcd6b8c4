"""`imsg windows`, `imsg holidays`: list and change the hours in which messages are sent (administrators)."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import confirm, ending, listing_group, print_json, print_line, print_table, usage
from imsg.verbs import Json, Url
from imsg_runtime.lines import fill

WINDOWS = "/api/v2/windows"
HOLIDAYS = "/api/v2/holidays"
COLUMNS = {
    "id": "id",
    "methods": "channels",
    "categories": "categories",
    "days": "days",
    "from": "opens at",
    "to": "closes at",
    "zone": "time zone",
    "holidays": "holidays",
}
"""Field of a window → its heading."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
Name = Annotated[str, typer.Argument(help="The id of a window.")]
Day = Annotated[str, typer.Argument(help="A date, such as 2027-02-06.")]

app = listing_group("Windows in which messages are sent: list, add, remove, release.")
holidays = listing_group("Holidays and make-up working days of mainland China: list, set, remove.")


@app.command("list")
def list_windows(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the windows."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", WINDOWS)
    if as_json:
        print_json(answer)
        return
    if answer["windows"]:
        print_table(
            tuple(COLUMNS.values()), [tuple(_write(window[name]) for name in COLUMNS) for window in answer["windows"]]
        )
    else:
        print_line("No windows: everything is sent at any time.")
    _warn(answer)


@app.command("add")
def add_window(  # noqa: PLR0917  typer reads the options from here
    name: Name,
    begin: Annotated[str, typer.Option("--from", help="When it opens, such as 08:00.")],
    end: Annotated[str, typer.Option("--to", help="When it closes; not after --from: on the next day.")],
    methods: Annotated[str, typer.Option(help="Channels, comma-separated.")] = "sms",
    categories: Annotated[str, typer.Option(help="notice, marketing; comma-separated.")] = "marketing",
    days: Annotated[str, typer.Option(help="On which it opens, comma-separated.")] = ",".join(DAYS),
    zone: Annotated[str, typer.Option(help="The time zone of its clock.")] = "Asia/Shanghai",
    calendar: Annotated[str, typer.Option("--holidays", help="cn: closed on holidays of mainland China.")] = "none",
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Add a window, or replace the one of this id."""
    window = {
        "id": name,
        "methods": methods.split(","),
        "categories": categories.split(","),
        "zone": zone,
        "days": days.split(","),
        "from": begin,
        "to": end,
        "holidays": calendar,
    }
    _change(WINDOWS, "windows", lambda rows: [*_without(rows, name), window], url, as_json=as_json)


@app.command("remove")
def remove_window(name: Name, yes: Yes = False, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Remove a window; what it holds goes when another one of its kind is open, or at once."""

    def remove(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if (left := _without(rows, name)) == rows:
            raise usage(fill("there is no window {0}; `imsg windows list` shows them.", name))
        confirm(fill("Remove the window {0}?", name), yes=yes)
        return left

    _change(WINDOWS, "windows", remove, url, as_json=as_json)


@app.command("release")
def release_held(name: Name, yes: Yes = False, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Send all that a window holds now, whatever the hour."""
    confirm(fill("Send all that the window {0} holds, now?", name), yes=yes)
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", "/api/v2/requests/release", {"held_by": name})
    if as_json:
        print_json(answer)
    else:
        print_line(fill("{0} requests are sent now.", answer["released"]))


@holidays.command("list")
def list_holidays(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the corrections."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", HOLIDAYS)
    if as_json:
        print_json(answer)
        return
    if answer["holidays"]:
        print_table(("date", "is a"), list(answer["holidays"].items()))
    else:
        print_line("No corrections: the calendar of the package chinesecalendar holds.")
    _warn(answer)


@holidays.command("set")
def set_day(
    day: Day,
    kind: Annotated[str, typer.Argument(help="holiday or workday.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Set a day as a holiday or a workday, whatever the calendar has."""
    _change(HOLIDAYS, "holidays", lambda days: {**days, day: kind}, url, as_json=as_json)


@holidays.command("remove")
def remove_day(day: Day, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Remove a correction."""
    _change(
        HOLIDAYS,
        "holidays",
        lambda days: {date: kind for date, kind in days.items() if date != day},
        url,
        as_json=as_json,
    )


def _change(path: str, name: str, change: Callable[[Any], Any], url: str | None, *, as_json: bool) -> None:
    with ending(as_json=as_json), connect(find_url(url)) as api:
        before, etag = api.read_tagged(path)
        answer = api.call("PUT", path, {name: change(before[name])}, headers={"If-Match": etag})
    if as_json:
        print_json(answer)
    else:
        print_line(f"{len(answer[name])} {name}.")
        _warn(answer)


def _without(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["id"] != name]


def _write(value: str | list[str]) -> str:
    return value if isinstance(value, str) else ",".join(value)


def _warn(answer: dict[str, Any]) -> None:
    for year in answer["unknown_years"]:
        print_line(
            fill("The holidays of {0} are not known; set them: `imsg holidays set {1}-01-01 holiday`.", year, year)
        )
