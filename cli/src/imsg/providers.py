"""`imsg providers`: list, switch, weigh, test and check providers (administrators)."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from imsg.api import Api, Refused, connect
from imsg.location import find_url
from imsg.output import ending, listing_group, local, print_json, print_line, print_table
from imsg.phrases import translate
from imsg.verbs import METHOD_NAMES, Json, Url, segment
from imsg_runtime.lines import fill

app = listing_group("Providers: list, enable, disable, weight, test, signatures, templates, check.")

Method = Annotated[str, typer.Argument(help=METHOD_NAMES)]
Name = Annotated[str, typer.Argument(help="The provider, as `imsg providers` lists it.")]


@app.command("list")
def list_all(url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Show the state of each provider, its counts, its last error, and what needs attention."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        channels = api.call("GET", "/api/v2/channels")["channels"]
        attention = _list_attention(api)
    if as_json:
        print_json(
            {
                channel["method"]: [
                    {**provider, "attention": attention.get((channel["method"], provider["name"]), [])}
                    for provider in channel["providers"]
                ]
                for channel in channels
            }
        )
        return
    print_providers(channels)
    rows = [
        (method, name, problem["what"], problem["remedy"])
        for (method, name), problems in attention.items()
        for problem in problems
    ]
    if rows:
        print_table(("channel", "provider", "needs attention", "what to do"), rows)


def _list_attention(api: Api) -> Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]:
    """Return what needs attention, by channel and provider; nothing for those who may not see it."""
    try:
        listed = api.call("GET", "/api/v2/providers")["providers"]
    except Refused as refused:
        if refused.answer.get("reason") in {"no_right", "no_scope"}:
            return {}
        raise
    return {(provider["method"], provider["name"]): provider["attention"] for provider in listed}


def print_providers(channels: list[dict[str, Any]]) -> None:
    """Print the providers of all channels."""
    rows = [
        (
            channel["method"],
            provider["name"],
            translate(provider["state"]),
            _describe_share(provider),
            provider["sent"],
            provider["failed"],
            provider["p95_ms"],
            _describe_block(provider) or _describe_error(provider),
        )
        for channel in channels
        for provider in channel.get("providers", ())
    ]
    if rows:
        print_table(("channel", "provider", "state", "share", "sent 1h", "failed 1h", "p95 ms", "why"), rows)
    else:
        print_line("No sender reports its providers.")


@app.command()
def enable(method: Method, name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Use a provider again."""
    _change(method, name, {"enabled": True}, url, as_json=as_json)


@app.command()
def disable(method: Method, name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """Stop using a provider; its messages go by the others, or wait."""
    _change(method, name, {"enabled": False}, url, as_json=as_json)


@app.command()
def weight(
    method: Method,
    name: Name,
    weight: Annotated[int, typer.Argument(min=0, max=1_000, help="Its share; 0: only where all others fail.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Set a provider's weight, its share of the messages."""
    _change(method, name, {"weight": weight}, url, as_json=as_json)


@app.command("test")
def send_one(
    method: Method,
    name: Name,
    to: Annotated[str, typer.Argument(help="An address of yours.")],
    url: Url = None,
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Send one message by this provider alone, even if it is disabled."""
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("POST", f"{_path(method, name)}/test", {"to": to})
    if as_json:
        print_json(answer)
    else:
        print_line(fill("Accepted for {0} alone; imsg query --id {1}-0 shows its status.", name, answer["id"]))


@app.command()
def signatures(method: Method, name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the signatures that a provider has: their review, and their filing with the carriers."""
    _list_entries(method, name, "signatures", url, as_json=as_json)


@app.command()
def templates(method: Method, name: Name, url: Url = None, as_json: Json = False) -> None:  # noqa: FBT002
    """List the templates that a provider has, with their review."""
    _list_entries(method, name, "templates", url, as_json=as_json)


def _list_entries(method: str, name: str, what: str, url: str | None, *, as_json: bool) -> None:
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("GET", f"{_path(method, name)}/{what}")
    if as_json:
        print_json(answer)
    elif not answer[what]:
        print_line(fill("The provider has no {0}.", what))
    else:
        rows = [
            (entry["id"], entry["text"], entry["review"], entry["filing"], entry["reason"]) for entry in answer[what]
        ]
        print_table(("id", "text", "review", "filing", "why"), rows)


@app.command()
def check() -> None:
    """Call every provider, of the settings and of the page, without sending: log-in, templates, balance."""
    from imsg.provider_checks import main  # noqa: PLC0415  only this verb pays for loading the senders

    raise typer.Exit(main())


def _change(method: str, name: str, body: dict[str, Any], url: str | None, *, as_json: bool) -> None:
    with ending(as_json=as_json), connect(find_url(url)) as api:
        answer = api.call("PATCH", _path(method, name), body)
    if as_json:
        print_json(answer)
        return
    state = "switched off" if answer["enabled"] is False else "on"
    weighed = "" if answer["weight"] is None else f", weight {answer['weight']}"
    print_line(fill("{0} {1} is {2}{3}; effective within seconds.", method, name, state, weighed))


def _path(method: str, name: str) -> str:
    return f"/api/v2/providers/{segment(method)}/{segment(name)}"


def _describe_share(provider: dict[str, Any]) -> str | None:
    if provider["weight"] is None:
        return None
    if provider["share"] is None:
        return translate(fill("weight {0}", provider["weight"]))
    return f"{provider['share']:.0%}"


def _describe_block(provider: dict[str, Any]) -> str | None:
    block = next(iter(provider["blocks"]), None)
    if block is None:
        return None
    return translate(fill("{0}: {1} {2}", block["what"], fill(block["code"]), block["detail"])).strip()


def _describe_error(provider: dict[str, Any]) -> str | None:
    last = provider["last_error"]
    if last is None:
        return None
    return translate(
        fill("last error {0}: {1}", local(last["at"]), fill("{0} {1}", fill(last["code"]), last["detail"]))
    ).strip()
