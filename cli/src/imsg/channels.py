"""`imsg channels`: list, pause and resume channels (administrators)."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import ending, listing_group, local, print_json, print_line, print_table
from imsg.phrases import translate
from imsg.providers import print_providers
from imsg.verbs import METHOD_NAMES, Json, Url, segment
from imsg_runtime.lines import fill

app = listing_group("Channels: list, pause, resume.")

Method = Annotated[str, typer.Argument(help=METHOD_NAMES)]


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the state of each channel and its providers, and how many messages wait."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", "/api/v2/channels")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            channel["method"],
            translate(channel["state"]),
            channel["waiting"],
            _lanes(channel),
            local(channel["until"]),
            _why(channel),
        )
        for channel in answer["channels"]
    ]
    print_table(("channel", "state", "waiting", "by lane", "until", "why"), rows)
    if any(channel.get("providers") for channel in answer["channels"]):
        print_line("")
        print_providers(answer["channels"])


@app.command()
def pause(
    method: Method,
    reason: Annotated[str | None, typer.Option(help="Why it is paused; administrators see it.")] = None,
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Pause a channel: new messages are accepted and wait."""
    body: dict[str, Any] = {"paused": True}
    if reason is not None:
        body["reason"] = reason
    _change(method, body, url, as_json=as_json)


@app.command()
def resume(method: Method, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Resume a channel."""
    _change(method, {"paused": False}, url, as_json=as_json)


def _lanes(channel: Mapping[str, Any]) -> str | None:
    """Return how many messages wait in each lane."""
    lanes = channel.get("lanes") or {}
    return ", ".join(f"{lane} {count}" for lane, count in lanes.items() if count) or None


def _why(channel: Mapping[str, Any]) -> str | None:
    """Return why no message is sent: the channel's reason, or that it has no consumer."""
    if channel["why"] is None and channel["state"] == "open" and channel.get("consumers") == 0:
        return translate("no sender consumes it")
    if channel["why"] is None or channel["state"] != "blocked":
        reason: str | None = channel["why"]
        return reason
    named = (block.partition(": ") for block in channel["why"].split("; "))
    return "; ".join(f"{scope}{colon}{translate(code)}" for scope, colon, code in named)


def _change(method: str, body: dict[str, Any], url: str | None, *, as_json: bool) -> None:
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("PATCH", f"/api/v2/channels/{segment(method)}", body)
    if as_json:
        print_json(answer)
        return
    waiting = "" if answer["waiting"] is None else f"; {answer['waiting']} wait"
    print_line(fill("{0} is {1}{2}.", method, answer["state"], waiting))
