"""`imsg erase` and `imsg erasure`: erase all data about an address, and show the progress (administrators)."""

from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import confirm, ending, local, say, say_json, say_table
from imsg.verbs import Json, Url, segment

Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


def erase(
    method: Annotated[str, typer.Argument(help="smtp, sms or wechat.")],
    to: Annotated[str, typer.Argument(help="The address: e-mail, phone number or tag.")],
    yes: Yes = False,  # noqa: FBT002  typer's way of a flag
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Erase all data about an address; ask first (administrators)."""
    confirm(f"Erase all data about {to}? It can't be undone.", yes=yes)
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", "/api/v2/erasures", {"method": method, "to": to})
        name = str(answer["id"])
        if as_json:
            say_json(answer)
            return
        say(f"No message accepted until now is sent to it any more; imsg erasure {name} shows what remains.")
        _print(api.call("GET", f"/api/v2/erasures/{segment(name)}"))


def show(
    erasure: Annotated[str, typer.Argument(metavar="ID", help="The id that `imsg erase` printed.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show the progress of an erasure (administrators)."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", f"/api/v2/erasures/{segment(erasure)}")
    if as_json:
        say_json(answer)
    else:
        _print(answer)


def _print(answer: dict[str, Any]) -> None:
    say(f"state    {answer['state']}")
    if answer["remains"]:
        say_table(("remains", "until"), [(rest["where"], local(rest["until"])) for rest in answer["remains"]])
