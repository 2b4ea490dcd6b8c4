"""`imsg replies`: inbound messages, newest first."""

from typing import Annotated

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import ending, local, print_json, print_line, print_table
from imsg.phrases import translate
from imsg.verbs import Json, Url


def replies(  # noqa: PLR0917  typer reads the options from here
    message: Annotated[
        str | None, typer.Option("--id", help="Those to a request, or to one message of it (REQUEST-N).")
    ] = None,
    sender: Annotated[str | None, typer.Option("--from", help="The address that they came from.")] = None,
    username: Annotated[
        str | None, typer.Option(help="The user whose messages they answer; for administrators.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="RFC 3339 or Unix time.")] = None,
    until: Annotated[str | None, typer.Option(help="RFC 3339 or Unix time.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002  typer's way of a flag
) -> None:
    """Show what people replied, newest first."""
    filters = {"id": message, "from": sender, "username": username, "since": since, "until": until}
    params = {name: value for name, value in filters.items() if value}
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.collect("/api/v2/replies", "replies", params, limit)
    if as_json:
        print_json(answer)
        return
    if not answer["replies"]:
        print_line("No replies.")
        return
    rows = [
        (
            reply["from"],
            reply["text"],
            translate("opts out") if reply["opt_out"] else None,
            local(reply["at"]),
            reply["message"],
        )
        for reply in answer["replies"]
    ]
    print_table(("sender", "text", "", "when", "message"), rows)
    if answer["next"] is not None:
        print_line("There are more; --limit shows them.")
