"""`imsg groups`: list, create, import, change and delete groups of people."""

import csv
import io
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from imsg.api import Api, connect
from imsg.location import find_url
from imsg.output import confirm, ending, listing_group, print_json, print_line, print_table, usage
from imsg.people_files import explain, read_people
from imsg.verbs import Json, Url, segment
from imsg_console.recipients.people_sheet import PeopleSheet, Person
from imsg_runtime.lines import fill

PATH = "/api/v2/groups"
BATCH = 10_000
"""The most members that the API takes at once."""

app = listing_group("Groups of people: list, create, import, members, remove, delete.")

Name = Annotated[str, typer.Argument(metavar="GROUP", help="The group's name.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List your groups and the shared ones."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.collect(PATH, "groups", {})
    if as_json:
        print_json(answer)
    elif answer["groups"]:
        rows = [
            (group["name"], group["members"], group["owner"], group["shared"], group["note"])
            for group in answer["groups"]
        ]
        print_table(("name", "members", "owner", "shared", "note"), rows)
    else:
        print_line("No groups.")


@app.command()
def create(
    name: Name,
    shared: Annotated[bool, typer.Option("--shared", help="Every user may read it and send to it.")] = False,  # noqa: FBT002
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Create a group."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", PATH, {"name": name, "shared": shared, "note": note})
    if as_json:
        print_json(answer)
    else:
        print_line(fill("{0}: created.", name))


@app.command("import")
def read(  # noqa: PLR0917  typer reads the options from here
    name: Name,
    file: Annotated[Path, typer.Argument(help="A workbook or CSV file with a heading; - reads CSV from stdin.")],
    consent: Annotated[
        str | None, typer.Option(help="Where these people agreed to get messages; noted with today's date.")
    ] = None,
    wrong: Annotated[Path | None, typer.Option(help="A new CSV file for the rows that are left out.")] = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Add the people of a file: columns of addresses are known by heading or content, the others become fields.

    Who is a member already is replaced. Rows that are no person are named, and left out.
    """
    if wrong is not None and wrong.exists():
        raise usage(fill("{0} is there already; name a file that is not.", wrong))
    sheet = read_people(file)
    problems = [(problem.line, explain(problem)) for problem in sheet.problems]
    with ending(as_json=as_json), connect(find_url(url)) as api:
        added, changed, refused = _add(api, name, sheet.people, consent)
    problems = sorted([*problems, *refused])
    if wrong is not None and problems:
        _write_wrong(wrong, sheet, {line for line, _ in refused})
    if as_json:
        shown = [{"line": line, "detail": detail} for line, detail in problems]
        print_json({"errorCode": 0, "added": added, "changed": changed, "problems": shown})
    else:
        print_line(fill("{0}: {1} added, {2} changed.", name, added, changed))
        for line, detail in problems:
            print_line(fill("line {0}: {1}", line, detail))
    if problems:
        raise typer.Exit(1)


@app.command()
def members(
    name: Name,
    find: Annotated[str | None, typer.Option(help="Only those with this in an address or a field.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """List the members of a group."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.collect(f"{PATH}/{segment(name)}/members", "members", {"find": find} if find else {}, limit)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            ", ".join([member["to"] or "", *member["contacts"].values()]).removeprefix(", "),
            _write_fields(member["params"]),
        )
        for member in answer["members"]
    ]
    print_table(("to", "fields"), rows)
    print_line(fill("{0} of {1}.", len(rows), answer["total"]))


@app.command()
def remove(
    name: Name,
    addresses: Annotated[list[str], typer.Argument(metavar="TO...", help="Addresses or usernames of members.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Remove members from a group."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", f"{PATH}/{segment(name)}/members/remove", {"to": addresses})
    if as_json:
        print_json(answer)
        return
    print_line(fill("{0}: {1} removed.", name, answer["removed"]))
    for text in answer["unknown"]:
        print_line(fill("{0}: no member", text))


@app.command()
def delete(name: Name, yes: Yes = False, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Delete a group with its members; what was sent to them is kept."""
    confirm(fill("Delete the group {0} with its members?", name), yes=yes)
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("DELETE", f"{PATH}/{segment(name)}")
    if as_json:
        print_json(answer)
    else:
        print_line(fill("{0}: deleted.", name))


def _add(api: Api, name: str, people: Sequence[Person], consent: str | None) -> tuple[int, int, list[tuple[int, str]]]:
    """Add people in as many calls as needed; return the numbers of new and changed ones, and the refused lines."""
    added = changed = 0
    refused: list[tuple[int, str]] = []
    agreed = {} if consent is None else {"consent": {"at": datetime.now(UTC).isoformat(), "source": consent}}
    for first in range(0, len(people), BATCH):
        some = people[first : first + BATCH]
        rows = [{**_write_person(person), "params": person.params, **agreed} for person in some]
        answer = api.call("POST", f"{PATH}/{segment(name)}/members", {"members": rows})
        added, changed = added + answer["added"], changed + answer["changed"]
        refused += [(some[problem["row"]].line, problem["detail"]) for problem in answer["problems"]]
    return added, changed, refused


def _write_person(person: Person) -> dict[str, Any]:
    if (name := person.contacts.get("to")) is not None:
        return {"to": name}
    return {"contacts": person.contacts}


def _write_wrong(file: Path, sheet: PeopleSheet, refused: AbstractSet[int]) -> None:
    """Write the rows that were left out to a CSV file, to be corrected and imported again."""
    rows = [(problem.line, problem.cells) for problem in sheet.problems]
    rows += [(person.line, person.cells) for person in sheet.people if person.line in refused]
    text = io.StringIO(newline="")
    out = csv.writer(text)
    out.writerow(sheet.heading)
    out.writerows(cells for _, cells in sorted(rows))
    file.write_text("\ufeff" + text.getvalue(), encoding="utf-8", newline="")


def _write_fields(params: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in params.items())
