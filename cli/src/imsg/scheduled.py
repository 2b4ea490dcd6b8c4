"""The verbs that change what has not been sent yet: cancel, move, release."""

from datetime import datetime
from typing import Annotated

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import ending, local, print_json, print_line, usage
from imsg.sending import write_time
from imsg.verbs import AT, Json, Url, segment
from imsg_runtime.lines import fill

REQUESTS = "/api/v2/requests"

Names = Annotated[list[str] | None, typer.Argument(help="Requests, or messages of them (REQUEST-N).")]


def cancel(
    names: Names = None,
    reference: Annotated[str | None, typer.Option(help="All requests that you sent under this reference.")] = None,
    held_by: Annotated[
        str | None, typer.Option(help="All that this window holds; operators cancel everybody's.")
    ] = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002  typer's way of a flag
) -> None:
    """Cancel what has not been sent yet."""
    if [bool(names), reference is not None, held_by is not None].count(True) != 1:
        raise usage("name requests or messages, or give --reference, or --held-by.")
    calls: list[tuple[str, dict[str, str]]] = [
        (f"/api/v2/{'messages' if '-' in name else 'requests'}/{segment(name)}/cancel", {}) for name in names or ()
    ]
    if reference is not None:
        calls.append((f"{REQUESTS}/cancel", {"reference": reference}))
    if held_by is not None:
        calls.append((f"{REQUESTS}/cancel", {"held_by": held_by}))
    with ending(as_json=as_json), connect(find_url(url)) as api:
        for path, body in calls:
            answer = api.call("POST", path, body)
            if as_json:
                print_json(answer)
            else:
                counts = answer["cancelled"], answer["too_late"], answer["settled"]
                print_line(fill("{0} cancelled, {1} too late, {2} settled before.", *counts))


def move(
    name: Annotated[str, typer.Argument(help="The request.", show_default=False)],
    at: Annotated[datetime, AT],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Change the time of a scheduled request."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("PATCH", f"{REQUESTS}/{segment(name)}", {"send_at": write_time(at)})
    if as_json:
        print_json(answer)
    else:
        print_line(fill("{0} is sent at {1}.", name, local(answer["due_at"])))


def release(
    names: Annotated[list[str], typer.Argument(help="The requests.", show_default=False)],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Send scheduled or held requests now (administrators and operators).

    `imsg windows release` sends all that a window holds.
    """
    with ending(as_json=as_json), connect(find_url(url)) as api:
        for name in names:
            answer = api.call("POST", f"{REQUESTS}/{segment(name)}/release", {})
            if as_json:
                print_json(answer)
            else:
                print_line(fill("{0} is sent now.", name))
