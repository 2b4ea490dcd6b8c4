"""`imsg callbacks`: manage the URLs that iMSG calls about one's own messages, and look at past calls."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import ending, listing_group, local, print_json, print_line, print_table
from imsg.verbs import Json, Url, segment
from imsg_runtime.lines import Line, fill

app = listing_group("Callbacks: list, add, remove, enable, disable, test, rotate, deliveries, resend, recover.")

PATH = "/api/v2/callbacks"
USUAL = ("message.sent", "message.failed", "message.expired")

Name = Annotated[str, typer.Argument(help="The callback's id, as `imsg callbacks` lists it.")]
Event = Annotated[
    list[str] | None, typer.Option("--event", help="When to call it, such as message.delivered. Repeatable.")
]


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show each callback and its state."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", PATH)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            callback["id"],
            callback["url"],
            callback["state"],
            callback["waiting"],
            local(callback["reached_at"]),
            _why(callback),
        )
        for callback in answer["callbacks"]
    ]
    print_table(("id", "URL", "state", "waiting", "last success", "why"), rows)


@app.command()
def add(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The URL to be called.")],
    event: Event = None,
    description: Annotated[str, typer.Option(help="A description for people.")] = "",
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Add a URL to be called; its secret is shown only now."""
    body = {"url": target, "events": event or list(USUAL), "description": description}
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", PATH, body)
    if as_json:
        print_json(answer)
        return
    print_line(fill("{0} is added. Its secret, which is shown only now:", answer["id"]))
    print_line(answer["secret"])


@app.command()
def remove(name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Remove a callback and its waiting deliveries."""
    _call("DELETE", f"{PATH}/{segment(name)}", None, fill("It is removed."), url, as_json=as_json)


@app.command()
def enable(name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Enable a callback."""
    _call("PATCH", f"{PATH}/{segment(name)}", {"enabled": True}, fill("It is enabled."), url, as_json=as_json)


@app.command()
def disable(name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Disable a callback."""
    _call("PATCH", f"{PATH}/{segment(name)}", {"enabled": False}, fill("It is disabled."), url, as_json=as_json)


@app.command("test")
def try_out(name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Call it now, and show its answer."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", f"{PATH}/{segment(name)}/test", {})
    if as_json:
        print_json(answer)
    elif answer["delivered"]:
        print_line(fill("It answered {0} in {1} ms.", answer["status"], answer["took_ms"]))
    else:
        words = "It failed: {0}. {1}" if answer["answer"] else "It failed: {0}."
        print_line(fill(words, answer["error"], answer["answer"]))
    if not answer["delivered"]:
        raise typer.Exit(1)


@app.command()
def rotate(name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Make a new secret; for 24 hours both secrets sign."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", f"{PATH}/{segment(name)}/rotate", {})
    print_json(answer) if as_json else print_line(answer["secret"])


@app.command()
def deliveries(
    name: Name,
    state: Annotated[str | None, typer.Option(help="waiting, delivered or failed.")] = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Show the last deliveries and their answers."""
    params = {"state": state} if state else {}
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", f"{PATH}/{segment(name)}/deliveries", params=params)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            delivery["event"],
            delivery["type"],
            delivery["state"],
            delivery["attempts"],
            delivery["error"] or delivery["status"],
            local(delivery["tried_at"]),
        )
        for delivery in answer["deliveries"]
    ]
    print_table(("event", "what", "state", "attempts", "answer", "last attempt"), rows)


@app.command()
def resend(
    name: Name,
    event: Annotated[str, typer.Argument(help="The event's id, as `imsg callbacks deliveries` lists it.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Send one event again."""
    path = f"{PATH}/{segment(name)}/deliveries/{segment(event)}/resend"
    _call("POST", path, {}, fill("The event is sent again now."), url, as_json=as_json)


@app.command()
def recover(
    name: Name,
    since: Annotated[str, typer.Option(help="From this time on, such as 2026-11-25T08:00:00+08:00; 14 days at most.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Send again all events since a time that did not reach it."""
    path = f"{PATH}/{segment(name)}/recover"
    _call(
        "POST",
        path,
        {"since": since},
        fill("The events that did not reach it are sent again, each once."),
        url,
        as_json=as_json,
    )


def _why(callback: Mapping[str, Any]) -> str | None:
    why: str | None = callback["last_error"] or callback["why"]
    return why


def _call(
    method: str, path: str, body: Mapping[str, Any] | None, done: Line, url: str | None, *, as_json: bool
) -> None:
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call(method, path, body)
    print_json(answer) if as_json else print_line(done)
