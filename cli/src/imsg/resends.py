"""`imsg resend`: send again what failed of requests, or single messages."""

from typing import Annotated

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import ending, print_json, print_line
from imsg.verbs import Json, Url
from imsg_runtime.lines import fill


def resend(
    messages: Annotated[list[str], typer.Argument(metavar="ID...", help="Requests, or messages of them (REQUEST-N).")],
    uncertain: Annotated[bool, typer.Option(help="Also what the provider may already have.")] = False,  # noqa: FBT002
    again: Annotated[bool, typer.Option(help="Also what was sent again already.")] = False,  # noqa: FBT002
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Send again what failed or expired of requests: for each a new request."""
    answers = []
    with ending(as_json=as_json), connect(find_url(url)) as api:
        for message in messages:
            answer = api.call("POST", "/api/v2/resend", {"id": message, "uncertain": uncertain, "again": again})
            answers.append(answer)
            if not as_json:
                print_line(
                    fill("{0}: {1} sent again; imsg query --id {2} shows them.", message, answer["count"], answer["id"])
                )
    if as_json:
        print_json({"errorCode": 0, "errorMessage": "OK", "requests": answers})
