"""`imsg keys`: make, list, change, rotate and end API keys."""

from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import confirm, ending, listing_group, local, print_json, print_line, print_table
from imsg.verbs import Json, Url, segment
from imsg_runtime.lines import fill

app = listing_group("API keys: list, add, change, rotate, end.")

PATH = "/api/v2/keys"
MAX_OVERLAP_S = 86_400

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `imsg keys` lists it.")]
Scope = Annotated[
    list[str] | None, typer.Option("--scope", help="What it may do, such as send:smtp or query. Repeatable.")
]
Network = Annotated[
    list[str] | None, typer.Option("--network", help="From where it may be used, such as 192.0.2.0/24. Repeatable.")
]
Expires = Annotated[
    str | None, typer.Option("--expires", help="When it ends, with an offset: 2027-01-01T00:00:00+08:00.")
]


@app.command("list")
def list_all(
    user: Annotated[str | None, typer.Option(help="The user of the keys (administrators).")] = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """List one's own keys; administrators see those of all users."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        keys = list(api.iterate(PATH, "keys", {} if user is None else {"username": user}))
    if as_json:
        print_json({"errorCode": 0, "errorMessage": "OK", "keys": keys})
        return
    if not keys:
        print_line("No keys.")
        return
    rows = [
        (
            key["id"],
            key["username"],
            key["name"],
            key["hint"],
            ", ".join(key["scopes"]),
            key["expires_at"] or "",
            local(key["last_used_at"]),
            key["last_used_from"] or "",
        )
        for key in keys
    ]
    print_table(("id", "user", "name", "key", "scopes", "ends", "last used", "last used from"), rows)


@app.command()
def add(  # noqa: PLR0917  typer reads the options from here
    name: Annotated[str, typer.Argument(help="The program that will use it.")],
    scope: Scope = None,
    network: Network = None,
    expires: Expires = None,
    user: Annotated[str | None, typer.Option(help="The user of the key (administrators).")] = None,
    test: Annotated[bool, typer.Option("--test", help="Make a test key, whose messages are not delivered.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Make a key, which is shown only now."""
    body: dict[str, Any] = {
        "name": name,
        "kind": "test" if test else "live",
        "scopes": scope or [],
        "networks": network or [],
    }
    body |= {} if expires is None else {"expires_at": expires}
    body |= {} if user is None else {"username": user}
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", PATH, body)
    _show_new(answer, as_json=as_json)


@app.command()
def change(  # noqa: PLR0917  typer reads the options from here
    key: KeyId,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    scope: Scope = None,
    network: Network = None,
    expires: Expires = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Change a key; what is not named stays. `--network any` and `--expires never` take the bound away."""
    options: dict[str, Any] = {
        "name": name,
        "scopes": scope or None,
        "networks": network or None,
        "expires_at": expires,
    }
    body = {field: value for field, value in options.items() if value is not None}
    if network == ["any"]:
        body["networks"] = None
    if expires == "never":
        body["expires_at"] = None
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("PATCH", f"{PATH}/{segment(key)}", body)
    if as_json:
        print_json(answer)
    else:
        print_line("It is changed.")


@app.command()
def rotate(
    key: KeyId,
    overlap: Annotated[
        int, typer.Option(min=0, max=MAX_OVERLAP_S, help="How many seconds the old key stays valid.")
    ] = 3_600,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Make another key like this one, which ends after the overlap."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", f"{PATH}/{segment(key)}/rotate", {"old_valid_s": overlap})
    _show_new(answer, as_json=as_json)


@app.command()
def end(
    key: KeyId,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """End a key at once."""
    confirm(fill("End the key {0}? Programs that use it are refused from now on.", key), yes=yes)
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("DELETE", f"{PATH}/{segment(key)}")
    if as_json:
        print_json(answer)
    else:
        print_line("It is ended.")


def _show_new(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    print_line(fill("{0} is made. The key, which is shown only now:", answer["id"]))
    print_line(answer["key"])
