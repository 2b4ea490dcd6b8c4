"""`imsg templates`: list, save, preview, publish and delete templates."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import confirm, ending, listing_group, local, print_json, print_line, print_table, usage
from imsg.verbs import METHOD_NAMES, Json, Url, segment, split_param
from imsg_runtime.lines import fill

app = listing_group("Templates: list, show, versions, save, publish, preview, delete.")

PATH = "/api/v2/templates"

Name = Annotated[str, typer.Argument(help="The template's name.")]
Version = Annotated[int | None, typer.Option(help="One of its versions.")]


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the templates that you may send by; those of the settings first."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        templates = list(api.iterate(PATH, "templates", {}))
    if as_json:
        print_json({"errorCode": 0, "errorMessage": "OK", "templates": templates})
    elif templates:
        print_table(
            ("name", "channels", "category", "version", "published", "params"),
            [_show(template) for template in templates],
        )
    else:
        print_line("No templates.")


@app.command()
def show(name: Name, version: Version = None, url: Url = None) -> None:
    """Show a template as JSON; `save` takes it back."""
    with ending(as_json=True), connect(find_url(url)) as api:
        params = {} if version is None else {"version": str(version)}
        print_json(api.call("GET", f"{PATH}/{segment(name)}", params=params))


@app.command()
def versions(name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the versions of a template, the newest first."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        rows = list(api.iterate(f"{PATH}/{segment(name)}/versions", "versions", {}))
    if as_json:
        print_json({"errorCode": 0, "errorMessage": "OK", "versions": rows})
    else:
        columns = [(str(row["version"]), row["state"], row["username"], local(row["updated_at"])) for row in rows]
        print_table(("version", "state", "by", "at"), columns)


@app.command()
def save(
    file: Annotated[Path, typer.Argument(help="A JSON file: {name, category, default_language, languages}.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Add a template, or change the draft of the one that has its name."""
    fields = _read(file)
    name = segment(str(fields.get("name", "")))
    with ending(as_json=as_json), connect(find_url(url)) as api:
        known = any(
            template["name"] == fields.get("name")
            for template in api.iterate(PATH, "templates", {})
            if "version" in template
        )
        changes = {field: value for field, value in fields.items() if field != "name"}
        answer = api.call("PATCH", f"{PATH}/{name}", changes) if known else api.call("POST", PATH, fields)
    if as_json:
        print_json(answer)
    else:
        print_line(fill("{0}: version {1} is a {2}.", answer["name"], answer["version"], answer["state"]))


@app.command()
def publish(name: Name, version: Version = None, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Publish the last version for sends, or an earlier one again."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        body = {} if version is None else {"version": version}
        answer = api.call("POST", f"{PATH}/{segment(name)}/publish", body)
    if as_json:
        print_json(answer)
    else:
        print_line(fill("{0}: sends use version {1}.", answer["name"], answer["published"]))


@app.command()
def preview(  # noqa: PLR0917  typer gives them by their names
    name: Name,
    method: Annotated[str, typer.Argument(help=METHOD_NAMES)],
    param: Annotated[list[str] | None, typer.Option(help="NAME=VALUE. Repeatable.")] = None,
    language: Annotated[str | None, typer.Option(help="Its language, such as zh.")] = None,
    version: Version = None,
    url: Url = None,
) -> None:
    """Show what would be sent, as JSON."""
    params = dict(split_param(pair) for pair in param or ())
    body = {"method": method, "params": params, "language": language, "version": version}
    with ending(as_json=True), connect(find_url(url)) as api:
        given = {field: value for field, value in body.items() if value is not None}
        print_json(api.call("POST", f"{PATH}/{segment(name)}/preview", given))


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Delete a template; its versions can still be read."""
    confirm(fill("Delete the template {0}?", name), yes=yes)
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("DELETE", f"{PATH}/{segment(name)}")
    if as_json:
        print_json(answer)
    else:
        print_line(fill("{0} is deleted.", name))


def _show(template: dict[str, Any]) -> tuple[str, ...]:
    if template["from"] == "settings":
        return template["name"], template["method"], "", "", "settings", ", ".join(template["variables"])
    channels = sorted({method for methods in template["languages"].values() for method in methods})
    params = ", ".join(param["name"] for param in template["params"])
    published = "" if template["published"] is None else str(template["published"])
    return template["name"], ", ".join(channels), template["category"], str(template["version"]), published, params


def _read(file: Path) -> dict[str, Any]:
    try:
        fields = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise usage(fill("{0} can't be read as JSON: {1}.", file, error)) from error
    if not isinstance(fields, dict):
        raise usage(fill("{0} holds no JSON object.", file))
    names = ("name", "category", "shared", "default_language", "languages")
    return {name: fields[name] for name in names if name in fields}
