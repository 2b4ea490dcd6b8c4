"""`imsg erase`: erase all data about an address, list erasures, and show their progress (administrators)."""

from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import confirm, ending, local, print_json, print_line, print_table
from imsg.verbs import METHOD_NAMES, Json, Url, segment
from imsg_runtime.lines import fill

PATH = "/api/v2/erasures"

app = typer.Typer(help="Erasures of all data about an address: address, list, show.", no_args_is_help=True)

Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@app.command("address")
def erase(
    method: Annotated[str, typer.Argument(help=METHOD_NAMES)],
    to: Annotated[str, typer.Argument(help="The address: e-mail, phone number or tag.")],
    yes: Yes = False,  # noqa: FBT002  typer's way of a flag
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Erase all data about an address; ask first (administrators)."""
    confirm(fill("Erase all data about {0}? It can't be undone.", to), yes=yes)
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", PATH, {"method": method, "to": to})
        name = str(answer["id"])
        if as_json:
            print_json(answer)
            return
        print_line(
            fill("No message accepted until now is sent to it any more; imsg erase show {0} shows what remains.", name)
        )
        _print(api.call("GET", f"{PATH}/{segment(name)}"))


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List erasures, newest first (administrators)."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.collect(PATH, "erasures", {})
    if as_json:
        print_json(answer)
        return
    rows = [
        (erasure["id"], erasure["method"], erasure["state"], local(erasure["at"])) for erasure in answer["erasures"]
    ]
    print_table(("id", "method", "state", "when"), rows)


@app.command()
def show(
    erasure: Annotated[str, typer.Argument(metavar="ID", help="The id that `imsg erase address` printed.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show the progress of an erasure (administrators)."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", f"{PATH}/{segment(erasure)}")
    if as_json:
        print_json(answer)
    else:
        _print(answer)


def _print(answer: dict[str, Any]) -> None:
    print_line(fill("state    {0}", answer["state"]))
    if answer["remains"]:
        print_table(("remains", "until"), [(rest["where"], local(rest["until"])) for rest in answer["remains"]])
