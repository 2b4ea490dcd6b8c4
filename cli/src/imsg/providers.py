"""`imsg providers`: how each channel's providers stand, switching and weighing them, one message by one of them."""

from typing import Annotated, Any

import typer

from imsg.api import connect
from imsg.location import find_url
from imsg.output import ending, lists_by_itself, local, say, say_json, say_table
from imsg.verbs import Json, Url, segment

app = typer.Typer(help="Providers: list, enable, disable, weigh, try.", no_args_is_help=False)

Method = Annotated[str, typer.Argument(help="smtp, sms, wechat or wecom.")]
Name = Annotated[str, typer.Argument(help="The provider, as `imsg providers` lists it.")]


@app.callback(invoke_without_command=True)
def list_by_itself(context: typer.Context, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List, enable, disable, weigh and try providers (administrators)."""
    if lists_by_itself(context):
        list_all(url, as_json=as_json)


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show how each provider stands, what it carries, and why not."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", "/api/v2/channels")
    if as_json:
        say_json({each["method"]: each["providers"] for each in answer["channels"]})
        return
    say_providers(answer["channels"])


def say_providers(channels: list[dict[str, Any]]) -> None:
    """Print the providers of all channels; nothing where no sender tells of any."""
    rows = [
        (
            channel["method"],
            one["name"],
            one["state"],
            _share(one),
            one["sent"],
            one["failed"],
            one["p95_ms"],
            one["why"] or _last(one),
        )
        for channel in channels
        for one in channel.get("providers", ())
    ]
    if rows:
        say_table(("channel", "provider", "state", "share", "sent 1h", "failed 1h", "p95 ms", "why"), rows)
    else:
        say("No sender tells of its providers.")


@app.command()
def enable(method: Method, name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Let a provider carry messages again."""
    _change(method, name, {"enabled": True}, url, as_json=as_json)


@app.command()
def disable(method: Method, name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Let a provider carry nothing; the others carry its messages, or they wait."""
    _change(method, name, {"enabled": False}, url, as_json=as_json)


@app.command()
def weight(
    method: Method,
    name: Name,
    weight: Annotated[int, typer.Argument(min=0, max=1_000, help="Its share; 0: only where others say not now.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Share messages out by weight."""
    _change(method, name, {"weight": weight}, url, as_json=as_json)


@app.command("test")
def send_one(
    method: Method,
    name: Name,
    to: Annotated[str, typer.Argument(help="An address of yours.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Send one message by this provider alone, switched on or not."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", f"{_path(method, name)}/test", {"to": to})
    if as_json:
        say_json(answer)
    else:
        say(f"Accepted for {name} alone; imsg query --id {answer['id']}-0 shows what becomes of it.")


@app.command()
def check() -> None:
    """Ask every provider configured here for real, without sending: log-in, templates, what is left."""
    from imsg.provider_checks import main  # noqa: PLC0415  only this verb pays for loading the senders

    raise typer.Exit(main())


def _change(method: str, name: str, body: dict[str, Any], url: str | None, *, as_json: bool) -> None:
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("PATCH", _path(method, name), body)
    if as_json:
        say_json(answer)
        return
    state = "switched off" if answer["enabled"] is False else "on"
    weighed = "" if answer["weight"] is None else f", weight {answer['weight']}"
    say(f"{method} {name} is {state}{weighed}; in force within seconds.")


def _path(method: str, name: str) -> str:
    return f"/api/v2/channels/{segment(method)}/providers/{segment(name)}"


def _share(one: dict[str, Any]) -> str | None:
    if one["weight"] is None:
        return None
    return f"weight {one['weight']}" if one["share"] is None else f"{one['share']:.0%}"


def _last(one: dict[str, Any]) -> str | None:
    last = one["last_error"]
    return None if last is None else f"last error {local(last['at'])}: {last['code']} {last['detail']}".strip()
