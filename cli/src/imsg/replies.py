"""`imsg replies`: what people wrote back, newest first."""

from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import ending, local, say, say_json, say_table
from imsg.verbs import Json, Url

PAGE = 500
"""The most that the API gives at once."""


def replies(  # noqa: PLR0917  typer reads the options from here
    message: Annotated[
        str | None, typer.Option("--id", help="Those to a request, or to one message of it (REQUEST-N).")
    ] = None,
    sender: Annotated[str | None, typer.Option("--from", help="Who wrote them.")] = None,
    username: Annotated[str | None, typer.Option(help="Whose messages they answer; for administrators.")] = None,
    since: Annotated[str | None, typer.Option(help="RFC 3339 or Unix time.")] = None,
    until: Annotated[str | None, typer.Option(help="RFC 3339 or Unix time.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002  typer's way of a flag
) -> None:
    """Show what people wrote back, newest first."""
    asked = {"id": message, "from": sender, "username": username, "since": since, "until": until}
    found: list[dict[str, Any]] = []
    answer: dict[str, Any] = {}
    cursor: str | None = ""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        while cursor is not None and len(found) < limit:
            page = {**asked, "limit": str(min(PAGE, limit - len(found))), "cursor": cursor}
            answer = api.call("GET", "/api/v2/replies", params={name: one for name, one in page.items() if one})
            found += answer["replies"]
            cursor = answer["next"]
    if as_json:
        say_json({**answer, "replies": found})
        return
    if not found:
        say("No replies.")
        return
    rows = [
        (one["from"], one["text"], "wants no more" if one["opt_out"] else None, local(one["at"]), one["message"])
        for one in found
    ]
    say_table(("from", "text", "", "when", "answers"), rows)
    if cursor is not None:
        say("There are more; --limit shows them.")
